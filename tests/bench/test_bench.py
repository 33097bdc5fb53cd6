#!/usr/bin/env python3
"""Tests the bench's own tools: recorder, traces and replayer, live bytes, what its figures claim.

usage: tests/bench/test_bench.py LIBHAKMEM [unittest arguments]
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
BENCH = HERE.parents[1] / "bench"
sys.path += [str(BENCH), str(BENCH / "trace"), str(HERE.parent / "support")]
import figures  # noqa: E402
import limits  # noqa: E402
import report_html  # noqa: E402
import tracefile  # noqa: E402

COMPILE = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-fno-builtin", "-pthread"]
LIBRARY = None
LIVE_BYTES = 50 * 1000 + 100_000 + 2000  # of traced.c, without what the C library allocates


def call(*command, **environment):
    return subprocess.run([str(word) for word in command], env={**os.environ, **environment}, capture_output=True, text=True,
                          timeout=limits.HANG_SECONDS, check=True).stdout


class Traces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        for source, target, flags in [(HERE / "traced.c", "traced", []), (BENCH / "trace" / "replay.c", "replay", []),
                                      (BENCH / "trace" / "record.c", "librecord.so", ["-shared", "-fPIC"])]:
            call(*COMPILE, *flags, "-o", cls.folder / target, source)
        call(cls.folder / "traced", LD_PRELOAD=str(cls.folder / "librecord.so"), HAKMEM_TRACE=str(cls.folder / "traced"))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def packed(self, start=0, count=1 << 60):
        target = self.folder / f"{start}.xz"
        tracefile.pack(str(self.folder / "traced"), target, start, count, "a note")
        return target

    def replayed(self, packed):
        """What the replayer prints of the trace; it must print the same on HAKMEM."""
        unpacked = packed.with_suffix(".play")
        tracefile.unpack(packed, unpacked)
        described = json.loads(call(self.folder / "replay", "--describe", unpacked))
        output = call(self.folder / "replay", unpacked, "0.0001")
        self.assertEqual(output, call(self.folder / "replay", unpacked, "0.0001", LD_PRELOAD=LIBRARY))
        return described

    def test_whole_program(self):
        packed = self.packed()
        head, columns = tracefile.read(packed)
        self.assertEqual((head["initial"], head["threads"], head["note"]), (0, 2, "a note"))
        self.assertEqual(head["events"], head["of"])
        # The C library allocates a few blocks for the thread.
        self.assertTrue(LIVE_BYTES <= head["peak_bytes"] < LIVE_BYTES + 4096, head["peak_bytes"])
        events = list(tracefile.events_of(head, columns))
        sizes = [size for operation, _, _, size, _ in events if operation == tracefile.MALLOC]
        self.assertEqual((sizes.count(1000), sizes.count(50000), sizes.count(300)), (25, 1, 1))
        self.assertIn(100_000, [size for operation, _, _, size, _ in events if operation == tracefile.REALLOC])
        self.assertIn((8, 2000), [(shift, size) for operation, _, shift, size, _ in events if operation == tracefile.ALIGNED])
        self.assertEqual(self.replayed(packed)["threads"], 2)

    def test_blocks_freed_by_another_thread_are_shared(self):
        unpacker = tracefile.Unpacker(*tracefile.read(self.packed()))
        self.assertEqual(unpacker.shared, 2)  # one each way

    def test_window(self):
        whole, _ = tracefile.read(self.packed())
        packed = self.packed(start=40, count=30)
        head, columns = tracefile.read(packed)
        self.assertEqual((head["events"], head["of"]), (30, whole["of"]))
        self.assertTrue(38 <= head["initial"] <= 40, head["initial"])
        self.assertEqual(len(list(tracefile.events_of(head, columns))), 30 + head["initial"])
        # A window that holds the peak has the peak of the whole.
        self.assertEqual(head["peak_bytes"], whole["peak_bytes"])
        self.assertEqual(self.replayed(packed)["peak_bytes"], whole["peak_bytes"])

    def test_kept_traces_can_be_read(self):
        names = {"cpython", "gcc", "git", "node", "redis", "sqlite3"}
        self.assertEqual({path.stem for path in (BENCH / "trace").glob("*.xz")}, names)
        for name in names:
            path = BENCH / "trace" / f"{name}.xz"
            head, _ = tracefile.read(path)
            self.assertGreater(head["events"], 100_000, name)
            self.assertLess(path.stat().st_size, 300 * 1024, name)


class Live(unittest.TestCase):
    def test_live_bytes(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            call(*COMPILE, "-o", folder / "traced", HERE / "traced.c")
            call(*COMPILE, "-shared", "-fPIC", "-o", folder / "liblive.so", BENCH / "live.c")
            (folder / "live").write_bytes(bytes(32))
            call(folder / "traced", LD_PRELOAD=str(folder / "liblive.so"), HAKMEM_LIVE=str(folder / "live"))
            live, files, both, total = struct.unpack("<4Q", (folder / "live").read_bytes())
        self.assertTrue(LIVE_BYTES <= live < LIVE_BYTES + 4096, live)
        self.assertTrue(1 << 19 < files < 1 << 24, files)
        self.assertEqual(both, live + files)
        # And realloc's first size, and the block of the thread.
        self.assertTrue(LIVE_BYTES + 50_300 <= total < LIVE_BYTES + 50_300 + 4096, total)


def report_of(**walls):
    """A report of one program: the wall times of each allocator's runs; glibc and other are the peers."""
    results = {name: {"runs": [{**dict.fromkeys(figures.MEASURES, 1), "wall": wall, "system": 0.0, "peak_kib": 4096} for wall in runs]}
               for name, runs in walls.items()}
    return {"allocators": {name: {"is_peer": name in ("glibc", "other")} for name in walls}, "runs": 5, "date": "", "machine": "",
            "programs": {"program": {"kind": "workload", "results": results, "floor": {"floor_kib": 2048}}}}


class Figures(unittest.TestCase):
    def texts(self, report, measure="wall", against_floor=False):
        comparison = figures.comparisons(report, measure, against_floor)["program"]
        return {name: comparison.text(name) for name in report["allocators"]}

    def test_a_difference_above_the_spread_is_shown(self):
        report = report_of(hakmem=[0.90, 0.91, 0.91, 1.5, 2], glibc=[1.0, 1.01, 1.02, 1.5, 2], other=[1.2, 1.21, 1.22, 1.3, 2])
        self.assertEqual(self.texts(report), {"hakmem": "0.90", "glibc": "1.00", "other": "1.20"})

    def test_a_difference_below_the_spread_of_either_is_not(self):
        steady, wild = [1.0, 1.0, 1.0, 1.0, 1.0], [0.95, 1.05, 1.06, 1.1, 1.2]
        self.assertEqual(self.texts(report_of(hakmem=wild, glibc=steady))["hakmem"], "~")
        self.assertEqual(self.texts(report_of(hakmem=steady, glibc=wild))["hakmem"], "~")

    def test_two_runs_claim_nothing(self):
        self.assertEqual(self.texts(report_of(hakmem=[0.5, 0.5], glibc=[1.0, 1.0]))["hakmem"], "~")

    def test_a_mean_within_its_uncertainty_is_not_shown(self):
        wild = report_of(hakmem=[0.95, 1.05, 1.06, 1.1, 1.2], glibc=[1.0] * 5)
        self.assertEqual(figures.mean_text(*figures.summary(wild, "wall")["hakmem"]), "~")
        steady = report_of(hakmem=[0.95] * 5, glibc=[1.0] * 5)
        self.assertEqual(figures.mean_text(*figures.summary(steady, "wall")["hakmem"]), "0.95")

    def test_floors(self):
        report = report_of(hakmem=[1.2] * 5, glibc=[1.5] * 5, bump=[3.0] * 5)
        results = report["programs"]["program"]["results"]
        for name, system in ("bump", 2.1), ("hakmem", 0.2), ("glibc", 0.1):
            for run in results[name]["runs"]:
                run["system"] = system
        # 3.0 without its 2.1 in the kernel, but with the least of all, 0.1.
        self.assertEqual(self.texts(report, "wall", against_floor=True), {"hakmem": "1.20", "glibc": "1.50", "bump": "1.00"})
        self.assertEqual(self.texts(report, "peak_kib", against_floor=True)["hakmem"], "2.00")

    def test_failures_are_shown_and_not_counted(self):
        report = report_of(hakmem=[1.0] * 5, glibc=[2.0] * 5)
        report["programs"]["program"]["results"]["glibc"] = {"runs": [], "failed": "it crashed"}
        self.assertEqual(self.texts(report), {"hakmem": "-", "glibc": "failed"})
        self.assertEqual(figures.summary(report, "wall")["glibc"][0], None)

    def test_page_holds_all_it_shows(self):
        page = report_html.page(report_of(hakmem=[1.2] * 5, glibc=[1.0] * 5, bump=[0.5] * 5))
        self.assertIn("1.20", page)
        self.assertNotRegex(page, r"(src|href)=")


if __name__ == "__main__":
    LIBRARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
