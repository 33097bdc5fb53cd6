"""verdicts.py - the lines that learning must meet (issue 4, section 2), each judged on the figures
of one report.

All figures are such that less is better. A ratio is that of two figures over the runs: of times the lower
quartiles, as the machine's noise only ever adds to them; of all else the medians, as runs that learn differ by
their own nature, too. Where it lies nearer to its limit than the runs lie to each other, the verdict is
marked "?": run it more often.
"""
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import figures  # noqa: E402

STATIC, LEARNING, FROZEN = "static", "learning", "frozen"
MODES = (STATIC, LEARNING, FROZEN)
NO_DYNAMIC = "no-dynamic"  # the setting of grid.txt without DYN classes
# Settings whose figures a line needs, whether or not they are among the best.
NEEDED = {"odd": [NO_DYNAMIC, "dynamic-odd"], "growth": ["huge-pages"]}
STEP_LIMIT_NS = 50000
PROCESSOR_LIMIT = 0.005

WHOLE = "objective"
SETTLED = "objective_settled"
TIME = "seconds"
PROCESSOR = "processor"
MEMORY = "mean_kib"
SETTLED_MEMORY = "settled_kib"
GROWTH = "growth_seconds"
TIMES = (TIME, PROCESSOR, GROWTH)


@dataclass
class Verdict:
    workload: str
    met: bool = None  # None: not measured
    text: str = ""


def usable(workload, name):
    """The runs of a setting, or none if it failed."""
    result = workload["settings"].get(name, {})
    return [] if "failed" in result else result.get("runs", [])


def candidates(workload):
    """Static settings that were run as often as the static default: {name: runs}"""
    rounds = len(usable(workload, STATIC))
    names = [name for name in workload["settings"] if name not in (LEARNING, FROZEN)]
    return {name: usable(workload, name) for name in names if rounds and len(usable(workload, name)) == rounds}


def oracle(workload, measure):
    """The name of the static setting that is best by the measure, or None if nobody measured it."""
    measured = {name: figures.median(runs, measure) for name, runs in candidates(workload).items()}
    measured = {name: value for name, value in measured.items() if value is not None}
    return min(measured, key=measured.get, default=None)


def finalists(workload):
    """The settings that are worth more runs after the first round: the best two by the objective (by
    time where there is none), the best by time and by memory, and those that a line needs."""
    runs = {name: usable(workload, name) for name in workload["settings"] if name not in MODES}
    chosen = set(NEEDED.get(workload["name"], []))
    by_objective = any(figures.median(some, WHOLE) is not None for some in runs.values())
    for measure, count in ((WHOLE if by_objective else TIME, 2), (SETTLED, 1), (TIME, 1), (MEMORY, 1)):
        measured = [name for name, some in runs.items() if figures.median(some, measure) is not None]
        chosen.update(sorted(measured, key=lambda name: figures.median(runs[name], measure))[:count])
    return [name for name in runs if name in chosen]


def figure(runs, measure):
    """The runs' figure that is compared, and how far they lie from it, as a part of it; (None, 0) when a run lacks it."""
    value = figures.median(runs, measure)
    if value is None or measure not in TIMES:
        return value, figures.deviation(runs, measure)
    return figures.lower_quartile(runs, measure), figures.spread(runs, measure)


def compare(workload, mine, theirs, measure, limit):
    """The verdict on: the figure of `mine` is at most `limit` times that of `theirs`."""
    verdict = Verdict(workload["name"])
    if theirs is None:
        verdict.text = "no figure of the static settings"
        return verdict
    measured = [figure(usable(workload, name), measure) for name in (mine, theirs)]
    for name, (value, _) in zip((mine, theirs), measured):
        if value is None or value <= 0:
            verdict.text = workload["settings"].get(name, {}).get("failed", f"no figure of {name}")
            return verdict
    ratio = measured[0][0] / measured[1][0]
    spread = max(apart for _, apart in measured)
    verdict.met = ratio <= limit
    doubt = "?" if abs(ratio / limit - 1) < spread else ""
    other = "" if theirs == STATIC else f" of {theirs}'s"
    verdict.text = f"{ratio:.3f}{other}, limit {limit:.2f}, spread {spread:.1%}{doubt}"
    return verdict


def learner_cost(workload):
    """Whether the learner's share of processor time and its longest step stay below their limits."""
    verdict = Verdict(workload["name"])
    runs = usable(workload, LEARNING)
    try:
        share = max(run["learning"]["step_ns_total"] / 1e9 / run["processor"] for run in runs)
        longest = max(run["learning"]["step_ns_max"] for run in runs)
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        verdict.text = "no figure of the learner's steps"
        return verdict
    verdict.met = share <= PROCESSOR_LIMIT and longest <= STEP_LIMIT_NS
    verdict.text = f"{share:.2%} of processor time, longest step {longest / 1e3:.1f} µs"
    return verdict


def growth_time(workload, huge_pages):
    if not huge_pages:
        return Verdict(workload["name"], text="huge pages cannot be had here")
    return compare(workload, LEARNING, STATIC, GROWTH, 0.70)


# (the line, the workloads it is about or None for all, how it is judged)
LINES = [
    ("learning ends within 5 % of the oracle's objective, 15 windows after a start or shift", None,
     lambda w, _: compare(w, LEARNING, oracle(w, SETTLED), SETTLED, 1.05)),
    ("frozen from a profile: within 3 % of the oracle's objective, from the first second", None,
     lambda w, _: compare(w, FROZEN, oracle(w, WHOLE), WHOLE, 1.03)),
    ("learning beats the best static setting's objective by 10 % where phases shift", ["shift"],
     lambda w, _: compare(w, LEARNING, oracle(w, WHOLE), WHOLE, 0.90)),
    ("learning is never worse than the static default by 2 %, by the objective", None,
     lambda w, _: compare(w, LEARNING, STATIC, WHOLE, 1.02)),
    ("the same by time", None,
     lambda w, _: compare(w, LEARNING, STATIC, TIME, 1.02)),
    ("the same by processor time", None,
     lambda w, _: compare(w, LEARNING, STATIC, PROCESSOR, 1.02)),
    ("the learned DYN classes save 12 % of resident memory, against none, 15 windows after the start", ["odd"],
     lambda w, _: compare(w, LEARNING, NO_DYNAMIC, SETTLED_MEMORY, 0.88)),
    ("learned huge pages and fault-ahead take 30 % off the time of growth", ["growth"], growth_time),
    ("the learner costs 0.5 % of processor time, a step 50 µs, at most", None,
     lambda w, _: learner_cost(w)),
]


def judge(report):
    """[(line, [verdict of each workload it is about])]"""
    judged = []
    for line, names, judgement in LINES:
        about = [workload for name, workload in report["workloads"].items() if names is None or name in names]
        judged.append((line, [judgement(workload, report["huge_pages"]) for workload in about]))
    return judged
