"""records.py - from what a run of the learning bench leaves behind to its figures: the workload's
output (learn.h), the lines of HAKMEM_LEARN_LOG, the "learning" object of HAKMEM_STATS=json, and
the resident memory while it ran.

Everything but the workload's output may be missing, since a library may not have it: the figure is
then None, which the tables show as "not measured".
"""
import json
import os
import subprocess
import time
from bisect import bisect_right
from pathlib import Path

# A start or a shift may take a learner this many windows (issue 4, section 2).
SETTLING_WINDOWS = 15
LEAST_WINDOWS = 3
SAMPLE_SECONDS = 0.01
NUMBERS = {"start": float, "operations": int, "seconds": float, "checksum": str}


def parse_output(text):
    """{"start", "operations", "seconds", "checksum", "phases": [(name, ms since the start)]}"""
    found = {"phases": []}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "phase":
            name, _, moment = value.partition(" ")
            found["phases"].append((name, float(moment)))
        elif key in NUMBERS:
            found[key] = NUMBERS[key](value)
        else:
            raise ValueError(f"unexpected line {line!r}")
    missing = [key for key in NUMBERS if key not in found]
    if missing or not found["phases"]:
        raise ValueError(f"its output lacks {', '.join(missing) or 'phases'}")
    return found


def parse_log(text):
    """(windows, decisions, lines that are no JSON objects) of a HAKMEM_LEARN_LOG."""
    windows, decisions, bad = [], [], 0
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            if entry["what"] != "window":
                decisions.append(entry)
            elif isinstance(entry["objective"], (int, float)):
                windows.append({key: float(entry[key]) for key in ("t_ms", "objective", "slow_ns", "operations")})
        except (ValueError, KeyError, TypeError):
            bad += 1
    return windows, decisions, bad


def phase_seconds(output):
    """{phase: seconds spent in it, all its occurrences together}"""
    phases = output["phases"]
    ends = [moment for _, moment in phases[1:]] + [output["seconds"] * 1e3]
    spent = {}
    for (name, start), end in zip(phases, ends):
        spent[name] = spent.get(name, 0.0) + (end - start) / 1e3
    return spent


def objective_of(windows):
    """The objective of some windows together: time per allocation, all allocations alike, and the mean of what
    idle memory costs. A mean of the windows' objectives would be that of the windows with fewest allocations."""
    operations = sum(window["operations"] for window in windows)
    idle = [window["objective"] - window["slow_ns"] / window["operations"] if window["operations"] else window["objective"]
            for window in windows]
    return (sum(window["slow_ns"] for window in windows) / operations if operations else 0.0) + sum(idle) / len(idle)


def long_phases(windows, output):
    """The phases without those that are too short on the average; where one is left out, the next begins earlier."""
    phases, spent = output["phases"], phase_seconds(output)
    gaps = sorted(after["t_ms"] - before["t_ms"] for before, after in zip(windows, windows[1:]))
    least = LEAST_WINDOWS * gaps[len(gaps) // 2] / 1e3 if gaps else 0.0
    names = [name for name, _ in phases]
    short = {name for name in names if spent[name] / names.count(name) < least}
    if len(short) == len(spent):
        return phases
    merged, start = [], None
    for name, moment in phases:
        start = moment if start is None else start
        if name not in short:
            merged.append((name, start))
            start = None
    return merged


def phase_objectives(windows, output):
    """({phase: the objective of its windows}, the same without each occurrence's first windows).
    A window belongs to the phase in which it ended; phases that are over before LEAST_WINDOWS have ended have none of
    their own, and count to the one that follows. t_ms may count from the start of the process or
    be the monotonic clock's."""
    phases = long_phases(windows, output)
    starts = [moment for _, moment in phases]
    counts = [0] * len(starts)
    everything, settled = {}, {}
    for window in windows:
        moment = window["t_ms"]
        if moment >= output["start"]:
            moment -= output["start"]
        place = max(bisect_right(starts, moment) - 1, 0)
        name = phases[place][0]
        counts[place] += 1
        everything.setdefault(name, []).append(window)
        if counts[place] > SETTLING_WINDOWS:
            settled.setdefault(name, []).append(window)
    return [{name: objective_of(some) for name, some in phases.items()} for phases in (everything, settled)]


def weighted(objectives, seconds):
    """One number from those of the phases: each counts as long as it lasted in the static default's
    run, so that a setting which is fast in a bad phase does not profit from its having fewer windows."""
    weight = sum(seconds.get(name, 0.0) for name in objectives)
    if weight <= 0:
        return None
    return sum(value * seconds.get(name, 0.0) for name, value in objectives.items()) / weight


def learning_of(path):
    """The "learning" object in a file of HAKMEM_STATS=json, or None."""
    try:
        learning = json.loads(path.read_text()).get("learning")
    except (OSError, ValueError, AttributeError):
        return None
    return learning if isinstance(learning, dict) else None


def parse_profile(text):
    """{key: value} of a profile (docs/profiles.md): what it says of the policy."""
    pairs = [line.partition("#")[0].partition("=") for line in text.splitlines()]
    values = {key.strip(): value.split() for key, _, value in pairs if value.split()}
    return {key: float(value[0]) for key, value in values.items() if key not in ("windows", "goal")}


def text_of(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


class Sampler:
    """The resident memory of the launcher's child while it runs."""

    def __init__(self, timeout):
        self.timeout = timeout
        self.samples = []

    def __call__(self, launcher):
        page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
        deadline = time.monotonic() + self.timeout
        child = None
        while launcher.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(launcher.args, self.timeout)
            child = child or child_of(launcher.pid)
            resident = int((text_of(Path(f"/proc/{child}/statm")).split() or [0, 0])[1]) if child else 0
            if resident:
                self.samples.append((time.monotonic() * 1e3, resident * page_kib))
            time.sleep(SAMPLE_SECONDS)

    def mean_kib(self, after_ms=0.0):
        """Of the samples taken later than that, by the monotonic clock; None: there are none."""
        late = [kib for moment, kib in self.samples if moment > after_ms]
        return sum(late) / len(late) if late else None


def settled_ms(windows, output):
    """When, by the monotonic clock, the first windows of a run are over; None: there are no more."""
    if len(windows) <= SETTLING_WINDOWS:
        return None
    moment = windows[SETTLING_WINDOWS - 1]["t_ms"]
    return moment if moment >= output["start"] else output["start"] + moment


def child_of(parent):
    """The number of a process's child, or None."""
    for folder in Path("/proc").glob("[0-9]*"):
        # The name of the program, in parentheses, may hold anything; behind it: state, parent.
        fields = text_of(folder / "stat").rpartition(")")[2].split()
        if len(fields) > 1 and fields[1] == str(parent):
            return int(folder.name)
    return None
