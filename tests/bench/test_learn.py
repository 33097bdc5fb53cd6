"""test_learn.py - the learning bench: its workloads run, always do the same work and print what the
harness reads; the harness copes with a library that does not learn; and with one that does (a
simulated one, since the figures must be known) it comes to the right verdicts."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
LEARN = Path(__file__).resolve().parents[2] / "bench" / "learn"
BUILD = None  # the folder with libhakmem.so, from the command line


def load_harness():
    """bench/learn/run, which has no suffix, as a module; it puts its own folders on the path."""
    loader = importlib.machinery.SourceFileLoader("learn_run", str(LEARN / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("learn_run", loader))
    loader.exec_module(module)
    return module


harness = load_harness()
records, verdicts, measuring = harness.records, harness.verdicts, harness.measuring


class Workloads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = BUILD / "bench"
        cls.launch = measuring.Launcher(harness.build(cls.folder), cls.folder)

    def output(self, name, seed, library):
        command = [str(self.folder / "learn" / name), "0.2", "0.02", str(seed)]
        _, text = self.launch(command, library, {}, True)
        return records.parse_output(text.decode())

    def test_same_work_under_every_allocator(self):
        for name in harness.WORKLOADS:
            with self.subTest(name):
                ours = self.output(name, 1, str(BUILD / "libhakmem.so"))
                libc = self.output(name, 1, "")
                self.assertEqual(ours["checksum"], libc["checksum"])
                self.assertEqual(ours["operations"], libc["operations"])
                self.assertGreater(ours["operations"], 0)
                spent, before = sum(records.phase_seconds(ours).values()), ours["phases"][0][1] / 1e3
                self.assertAlmostEqual(before + spent, ours["seconds"], places=6)

    def test_seed_changes_the_work(self):
        self.assertNotEqual(self.output("mid", 1, "")["checksum"], self.output("mid", 2, "")["checksum"])

    def test_shift_goes_round_twice(self):
        phases = [name for name, _ in self.output("shift", 1, "")["phases"]]
        self.assertEqual(phases, ["small", "mid", "big"] * 2)

    def test_resident_memory_is_sampled(self):
        sampler = records.Sampler(60)
        figures, _ = self.launch([str(self.folder / "learn" / "growth"), "1", "0.1", "1"], "", {}, True, meanwhile=sampler)
        self.assertLessEqual(sampler.mean_kib(), figures["peak_kib"] * 1.05)
        self.assertGreater(sampler.mean_kib(), figures["peak_kib"] * 0.1)


def window(t_ms, objective):
    return {"t_ms": t_ms, "window": 1, "state": "LEARN", "what": "window", "objective": objective,
            "slow_ns": objective * 100, "operations": 100}


class Records(unittest.TestCase):
    def test_settled_memory_is_that_after_the_first_windows(self):
        windows = [window(5e6 + 100 * number, 1.0) for number in range(1, 21)]
        moment = records.settled_ms(windows, self.OUTPUT)
        self.assertEqual(moment, 5e6 + 1500)
        self.assertEqual(records.settled_ms([window(100 * number, 1.0) for number in range(1, 21)], self.OUTPUT), moment)
        self.assertIsNone(records.settled_ms(windows[:15], self.OUTPUT))
        sampler = records.Sampler(60)
        sampler.samples = [(moment - 10, 1000), (moment + 10, 200), (moment + 20, 400)]
        self.assertEqual(sampler.mean_kib(moment), 300)
        self.assertIsNone(sampler.mean_kib(moment + 20))

    OUTPUT = {"start": 5e6, "seconds": 4.0, "operations": 1, "checksum": "0", "phases": [("a", 0.0), ("b", 2000.0)]}

    def test_log_with_foreign_and_broken_lines(self):
        text = "\n".join([json.dumps(window(100, 2.5)), json.dumps({"what": "wmax_mid", "t_ms": 1}), "{\"what\": \"wind", "[]",
                          json.dumps({"what": "window", "t_ms": 2, "objective": None})])
        windows, decisions, bad = records.parse_log(text)
        self.assertEqual((len(windows), len(decisions), bad), (1, 1, 2))

    def test_phases_and_settling(self):
        """Windows of 100 ms: 20 in each phase, the first 15 of each bad."""
        cost = [9.0 if place % 20 < 15 else 1.0 for place in range(40)]
        for base in (0, self.OUTPUT["start"]):
            windows = [window(base + 50 + 100 * place, cost[place]) for place in range(40)]
            everything, settled = records.phase_objectives(windows, self.OUTPUT)
            self.assertEqual(everything, {"a": 7.0, "b": 7.0})
            self.assertEqual(settled, {"a": 1.0, "b": 1.0})

    def test_a_window_with_few_allocations_weighs_little_by_time_and_fully_by_memory(self):
        windows = [{"t_ms": 0.0, "objective": 1003.0, "slow_ns": 1e4, "operations": 10},
                   {"t_ms": 100.0, "objective": 11.0, "slow_ns": 1e4, "operations": 990},
                   {"t_ms": 200.0, "objective": 5.0, "slow_ns": 0, "operations": 0}]
        expected = 20 + (3 + (11 - 1e4 / 990) + 5) / 3
        self.assertAlmostEqual(records.objective_of(windows), expected)

    def test_phases_shorter_than_windows_count_to_the_next(self):
        output = {"start": 5e6, "seconds": 4.0, "phases": [("up", 0.0), ("flat", 150.0), ("up", 2000.0), ("flat", 2150.0)]}
        windows = [window(50 + 100 * place, 1.0) for place in range(40)]
        self.assertEqual(records.long_phases(windows, output), [("flat", 0.0), ("flat", 2000.0)])
        self.assertEqual(records.phase_objectives(windows, output)[0], {"flat": 1.0})

    def test_a_short_phase_never_settles(self):
        windows = [window(100.0 * place, 1.0) for place in range(15)]
        self.assertEqual(records.phase_objectives(windows, self.OUTPUT)[1], {})

    def test_phases_weigh_by_the_static_runs(self):
        self.assertEqual(records.weighted({"a": 1.0, "b": 4.0}, {"a": 2.0, "b": 1.0}), 2.0)
        self.assertIsNone(records.weighted({}, {"a": 2.0}))

    def test_profile(self):
        text = "hakmem-profile 1\n# a comment\nwindows = 37\ngoal = balanced\nwmax_mid = 1.600 45\ncache_blocks.1280 = 32 # x\n"
        self.assertEqual(records.parse_profile(text), {"wmax_mid": 1.6, "cache_blocks.1280": 32.0})

    def test_constants_show_what_most_workloads_have_learned(self):
        learned = {"a": {"x": 2.0, "y": 7.0}, "b": {"x": 3.0, "y": 5.0}, "c": {"x": 1.0, "y": 5.0}}
        report = {"shipped": {"x": 1.0, "y": 5.0, "z": 1.0},
                  "workloads": {name: {"learned": policy} for name, policy in learned.items()}}
        with contextlib.redirect_stdout(io.StringIO()) as output:
            harness.print_constants(report)
        lines = output.getvalue().splitlines()[2:]
        self.assertEqual([line.split() for line in lines],
                         [["x", "1", "a", "2,", "b", "3", "<-", "on", "most", "workloads"], ["y", "5", "a", "7"]])

    def test_incomplete_output(self):
        with self.assertRaises(ValueError):
            records.parse_output("start 1\nphase steady 0.1\noperations 5\nseconds 1\n")


class Library:
    """Stands for launch.c, a workload and a library that learns: the figures are known in advance."""

    def __init__(self, objective):
        self.objective = objective  # of an environment
        self.environments = []

    def __call__(self, command, _library, environment, _check, meanwhile=None):
        self.environments.append(environment)
        meanwhile.samples.append((5e6 + 3000, 1000))
        objective = self.objective(environment)
        lines = [json.dumps(window(50 + 100 * place, objective)) for place in range(40)]
        Path(environment["HAKMEM_LEARN_LOG"]).write_text("\n".join(lines))
        learning = {"step_ns_max": 40000, "step_ns_total": 1e6, "state": "FROZEN"}
        Path(environment["HAKMEM_STATS_FILE"]).write_text(json.dumps({"learning": learning}))
        if "HAKMEM_PROFILE_OUT" in environment:
            Path(environment["HAKMEM_PROFILE_OUT"]).write_text("profile")
        text = f"start 5000000\nphase steady 0\noperations 100\nseconds 4\nchecksum {command[-1]}\n"
        return {"wall": 4.0, "processor": 4.0, "peak_kib": 2000, "faults": 1}, text.encode()


class Verdicts(unittest.TestCase):
    LINE = {"settled": 0, "frozen": 1, "shift": 2, "never worse": 3, "time": 4, "cost": 8}

    def judged(self, objective, runs=3, name="shift"):
        """{line: verdict} on a workload whose objective is known, with two settings in the grid."""
        grid = {"good": {"HAKMEM_EMPTY_SLABS": "4"}, "bad": {"HAKMEM_EMPTY_SLABS": "9"}}
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(sys, "argv", ["run"]):
            self.library = Library(objective)
            bench = harness.Bench(harness.arguments(), self.library, Path(folder))
            report = {"huge_pages": True, "workloads": harness.measure(bench, [name], grid, runs)}
        self.workload = report["workloads"][name]
        results = [results for _, results in verdicts.judge(report)]
        return {line: results[number][0] for line, number in self.LINE.items() if results[number]}

    @staticmethod
    def costs(learning, frozen):
        """Static 10, the setting `good` 8, `bad` 20, the run that writes the profile 1."""
        def objective(environment):
            if "HAKMEM_PROFILE_OUT" in environment:
                return 1.0
            if "HAKMEM_PROFILE" in environment:
                return frozen
            if environment["HAKMEM_LEARN"] == "1":
                return learning
            return {"4": 8.0, "9": 20.0}.get(environment.get("HAKMEM_EMPTY_SLABS"), 10.0)
        return objective

    def test_learning_that_meets_all(self):
        for line, verdict in self.judged(self.costs(learning=7.0, frozen=8.2)).items():
            self.assertIs(verdict.met, True, f"{line}: {verdict.text}")
        self.assertEqual(verdicts.oracle(self.workload, verdicts.WHOLE), "good")

    def test_learning_that_misses(self):
        judged = self.judged(self.costs(learning=8.5, frozen=8.3))
        met = {line: verdict.met for line, verdict in judged.items()}
        self.assertEqual(met, {"settled": False, "frozen": False, "shift": False, "never worse": True, "time": True, "cost": True})
        self.assertIs(self.judged(self.costs(learning=10.3, frozen=8.0))["never worse"].met, False)

    def test_noise_is_marked(self):
        """Learning differs by 20 % from run to run, so a ratio 5 % below its limit is in doubt."""
        values = iter([6.0, 7.6, 9.0])
        judged = self.judged(lambda environment: next(values) if environment.get("HAKMEM_LEARN") == "1"
                             and "HAKMEM_PROFILE_OUT" not in environment else 8.0)
        self.assertIs(judged["settled"].met, True)
        self.assertTrue(judged["settled"].text.endswith("?"), judged["settled"].text)

    def test_environments(self):
        self.judged(self.costs(learning=7.0, frozen=8.0), runs=1)
        profile, *rest = self.library.environments
        self.assertEqual(profile["HAKMEM_LEARN"], "1")
        frozen = [environment for environment in rest if "HAKMEM_PROFILE" in environment]
        self.assertEqual([environment["HAKMEM_PROFILE"] for environment in frozen], [profile["HAKMEM_PROFILE_OUT"]])
        self.assertEqual(sorted(environment.get("HAKMEM_LEARN", "-") for environment in rest), ["-", "0", "0", "0", "1"])
        self.assertEqual({environment["HAKMEM_LEARN_WINDOW_MS"] for environment in rest}, {"100"})

    def test_only_the_best_of_the_grid_run_again(self):
        self.judged(self.costs(learning=7.0, frozen=8.0), name="small")
        self.assertEqual(len(self.workload["settings"]["good"]["runs"]), 3)
        grid = {f"worse{number}": {"HAKMEM_EMPTY_SLABS": "9"} for number in range(4)}
        self.workload["settings"].update({name: {"runs": [{"objective": 20.0, "objective_settled": 20.0, "seconds": 5.0,
                                                           "mean_kib": 5000.0}]} for name in grid})
        self.assertEqual(verdicts.finalists(self.workload), ["good", "bad"])


class Command(unittest.TestCase):
    def test_on_the_library_as_it_is(self):
        with tempfile.TemporaryDirectory() as folder:
            grid, result = Path(folder) / "grid", Path(folder) / "result"
            grid.write_text("# a comment\nno-dynamic HAKMEM_MID_DYN1=0 HAKMEM_MID_DYN2=0\n")
            command = ["run", "--only", "odd", "--runs", "1", "--seconds", "0.3", "--size", "0.2", "--grid", str(grid),
                       "--build", str(BUILD), "--json", str(result)]
            printed = io.StringIO()
            with mock.patch.object(sys, "argv", command), contextlib.redirect_stdout(printed):
                self.assertEqual(harness.main(), 0, printed.getvalue())
            report = json.loads(result.read_text())
        self.assertEqual(len(report["verdicts"]), len(verdicts.LINES))
        settings = report["workloads"]["odd"]["settings"]
        self.assertGreater(settings["no-dynamic"]["runs"][0]["mean_kib"], 1000)
        self.assertIn("HAKMEM_LEARN_WINDOW_MS=100", printed.getvalue())
        self.assertRegex(printed.getvalue(), "odd +(met|MISSED) " if settings["learning"]["runs"] else "not measured")


if __name__ == "__main__":
    BUILD = Path(sys.argv.pop(1)).resolve()
    unittest.main()
