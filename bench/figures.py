"""figures.py - from the runs' raw figures to ratios that may be claimed.

The noise of a machine only ever slows a program down, so the best run is the estimate. Its
uncertainty is how far the lower quartile lies above it: when a quarter of the runs agree, the best
is no accident. A ratio whose distance from 1 is below the uncertainty of either side is not shown.

The floors: of time, what the program takes on the bump allocator, which never frees (bump.c). That
allocator's own price is fresh memory, paid in the kernel: so the time in the kernel is the least
that the program took there on any allocator. Of memory, the most bytes that the program had live at
once plus the files in its resident memory (live.c). Both can be undercut: the first where memory
that is used again is still in the cache, the second where a program never touches what it allocates.
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


def median(runs, measure):
    """The middle figure (the lower of two), or None when a run lacks it: for what the runs differ in by
    their own nature, not by the machine's noise alone."""
    values = sorted(run[measure] for run in runs if run.get(measure) is not None)
    return values[(len(values) - 1) // 2] if values and len(values) == len(runs) else None


def deviation(runs, measure):
    """How far the run that is furthest from the median lies from it, as a part of the median."""
    middle = median(runs, measure)
    if not middle:
        return 0.0
    return max(abs(run[measure] - middle) for run in runs) / abs(middle)


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

    def uncertainty(self, name):
        """How far the ratio may be off; infinite where there are too few runs to know."""
        mine, theirs = self.runs[name], self.runs[self.peer]
        if min(len(mine), len(theirs)) < FEWEST_RUNS:
            return math.inf
        return max(spread(mine, self.measure), spread(theirs, self.measure))

    def significant(self, name):
        value = self.ratio(name)
        mine, theirs = self.runs[name], self.runs[self.peer]
        if self.measure.endswith("_kib") and \
                abs(best(mine, self.measure) - best(theirs, self.measure)) < MEMORY_TOLERANCE_KIB:
            return False
        return abs(value - 1) > self.uncertainty(name)

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


def rates(report):
    """{program: {allocator: calls per second of its best run}} of the programs that count their calls."""
    counted = {}
    for name, program in report["programs"].items():
        best_runs = {other: max(run["rate"] for run in result["runs"]) for other, result in program["results"].items()
                     if result["runs"] and all("rate" in run for run in result["runs"])}
        if best_runs:
            counted[name] = best_runs
    return counted


def geometric_mean(values):
    values = [value for value in values if value is not None]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


class FloorComparison(Comparison):
    """One measure of one program: every allocator against the floor."""

    def __init__(self, program, measure):
        results = dict(program["results"])
        self.floor = program.get("floor") or {}
        bump = results.get("bump", {}).get("runs", [])
        if measure == "wall" and all("system" in run for run in bump):
            least = min((run["system"] for result in results.values() for run in result["runs"]), default=0)
            results["bump"] = {**results.get("bump", {}),
                               "runs": [{"wall": max(run["wall"] - run["system"], 0) + least} for run in bump]}
        if measure == "peak_kib":
            # Known exactly, so as good as any number of runs.
            results["bump"] = {"runs": [{"peak_kib": self.floor.get("floor_kib", 0)}] * FEWEST_RUNS}
        super().__init__(results, measure, ["bump"])


# What has a floor.
FLOORS = {"wall": "a bump allocator on memory that costs nothing", "peak_kib": "live bytes and files"}


def comparisons(report, measure, against_floor=False):
    """{program: Comparison} of a report."""
    peers = [name for name, allocator in report["allocators"].items() if allocator["is_peer"]]
    return {name: FloorComparison(program, measure) if against_floor else Comparison(program["results"], measure, peers)
            for name, program in report["programs"].items()}


def summary(report, measure, kind=None, against_floor=False):
    """Each allocator's geometric mean over the programs (of one kind) that did not fail on it, and its uncertainty:
    {name: (mean or None, uncertainty)}."""
    chosen = [comparison for program, comparison in comparisons(report, measure, against_floor).items()
              if kind in (None, report["programs"][program]["kind"])]
    means = {}
    for name in report["allocators"]:
        known = [comparison for comparison in chosen if comparison.ratio(name) is not None]
        errors = math.sqrt(sum(comparison.uncertainty(name) ** 2 for comparison in known))
        means[name] = (geometric_mean(comparison.ratio(name) for comparison in known), errors / max(len(known), 1))
    return means


def mean_text(mean, uncertainty):
    """A geometric mean as the tables show it. With too few runs nothing is claimed, and the mean is a first impression."""
    if mean is None:
        return "-"
    return "~" if uncertainty != math.inf and mean != 1 and abs(mean - 1) <= uncertainty else f"{mean:.2f}"
