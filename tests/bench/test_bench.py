#!/usr/bin/env python3
"""Tests the bench's own tools: recorder, traces and replayer.

usage: tests/bench/test_bench.py LIBHAKMEM [unittest arguments]
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
BENCH = HERE.parents[1] / "bench"
sys.path += [str(BENCH), str(BENCH / "trace")]
import tracefile  # noqa: E402

COMPILE = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-fno-builtin", "-pthread"]
LIBRARY = None
LIVE_BYTES = 50 * 1000 + 100_000 + 2000  # of traced.c, without what the C library allocates


def call(*command, **environment):
    return subprocess.run([str(word) for word in command], env={**os.environ, **environment}, capture_output=True, text=True,
                          timeout=50, check=True).stdout


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


if __name__ == "__main__":
    LIBRARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
