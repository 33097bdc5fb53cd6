"""figures.py - from the runs' raw figures to ratios that may be claimed.

The noise of a machine only ever slows a program down, so the best run is the estimate. Its
uncertainty is how far the lower quartile lies above it: when a quarter of the runs agree, the best
is no accident. A ratio whose distance from 1 is below the uncertainty of either side is not shown.
"""
import math

MEASURES = {
    "wall": "wall time",
    "processor": "processor time",
    "peak_kib": "peak resident memory",
    "end_kib": "resident memory at the end",
    "faults": "page faults",
    "switches": "voluntary switches",
}
# Below this many KiB a difference of memory is the system's own inaccuracy of counting.
MEMORY_TOLERANCE_KIB = 1024
# With fewer runs nothing is known of the spread, and no ratio is shown.
FEWEST_RUNS = 3


def best(runs, measure):
    return min(run[measure] for run in runs)


def lower_quartile(runs, measure):
    ordered = sorted(run[measure] for run in runs)
    return ordered[(len(ordered) + 2) // 4]


def spread(runs, measure):
    """How far the lower quartile lies above the best, as a part of the best."""
    low = best(runs, measure)
    return lower_quartile(runs, measure) / low - 1 if low > 0 else 0.0


class Comparison:
    """One measure of one program: every allocator against the best peer."""

    def __init__(self, results, measure, peers):
        self.results = results
        self.runs = {name: result["runs"] for name, result in results.items()
                     if result["runs"] and "failed" not in result}
        self.measure = measure
        usable = [name for name in peers if name in self.runs and best(self.runs[name], measure) > 0]
        self.peer = min(usable, key=lambda name: best(self.runs[name], measure), default=None)

    def ratio(self, name):
        """The ratio to the best peer, or None where there is none."""
        if self.peer is None or name not in self.runs:
            return None
        value = best(self.runs[name], self.measure) / best(self.runs[self.peer], self.measure)
        return value if value > 0 else None

    def significant(self, name):
        value = self.ratio(name)
        mine, theirs = self.runs[name], self.runs[self.peer]
        if min(len(mine), len(theirs)) < FEWEST_RUNS:
            return False
        if self.measure.endswith("_kib") and \
                abs(best(mine, self.measure) - best(theirs, self.measure)) < MEMORY_TOLERANCE_KIB:
            return False
        return abs(value - 1) > max(spread(mine, self.measure), spread(theirs, self.measure))

    def text(self, name):
        """The ratio as the tables show it: "~" where it may not be claimed."""
        if name not in self.runs:
            return "failed" if "failed" in self.results[name] else "-"
        value = self.ratio(name)
        if value is None:
            return "-"
        if name == self.peer:
            return "1.00"
        return f"{value:.2f}" if self.significant(name) else "~"


def geometric_mean(values):
    values = [value for value in values if value is not None]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def summary(report, measure, kind=None):
    """Each allocator's geometric mean over the programs (of one kind) that did not fail on it."""
    peers = [name for name, allocator in report["allocators"].items() if allocator["is_peer"]]
    chosen = [program for program in report["programs"].values() if kind in (None, program["kind"])]
    means = {}
    for name in report["allocators"]:
        comparisons = [Comparison(program["results"], measure, peers) for program in chosen]
        means[name] = geometric_mean(comparison.ratio(name) for comparison in comparisons)
    return means
