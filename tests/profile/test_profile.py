"""test_profile.py - HAKMEM_PROFILE and HAKMEM_PROFILE_OUT under a program: a good file is used in
silence, a bad one gets one line on standard error and changes nothing, and the program runs on."""

import json
import os
import subprocess
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import limits  # noqa: E402
import programs  # noqa: E402  (the path is set first)

GOOD = """hakmem-profile 1
windows = 12
hot_blocks = 100 5
wmax_mid = 1.5 3
thp_threshold = 4M
mid_dyn2 = 5200 1
cache_blocks.1280 = 3 7
cache_blocks.dyn2 = 9 7
pool_spans.2097152 = 2
"""


class Profile(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="hakmem-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.profile = self.directory / "app.hkp"
        self.out = self.directory / "out.hkp"

    def run_with(self, text, environment=None):
        """Runs the program, which must do its work, on that profile (None: on the one that is
        there); result: what it printed on standard error, and the policy's numbers at its end."""
        if text is not None:
            self.profile.write_bytes(text if isinstance(text, bytes) else text.encode())
        variables = {"HAKMEM_PROFILE": str(self.profile), "HAKMEM_PROFILE_OUT": str(self.out)}
        variables.update(environment or {})
        result = programs.run(["nothing"], variables)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "0x0\nsurvived\n")
        lines = re.findall(r"(?m)^([a-z_0-9.]+) = ([0-9.]+) [0-9]+$", self.out.read_text())
        self.assertGreater(len(lines), 100)
        return result.stderr, dict(lines)

    def defaults(self):
        error, values = self.run_with(None, {"HAKMEM_PROFILE": ""})
        self.assertEqual(error, "")
        return values

    def test_good(self):
        error, values = self.run_with(GOOD)
        self.assertEqual(error, "")
        expected = self.defaults()
        changes = {
            "hot_blocks": "100", "wmax_mid": "1.500", "thp_threshold": "4194304", "mid_dyn2": "5200",
            "cache_blocks.1280": "3", "cache_blocks.dyn2": "9", "pool_spans.2097152": "2",
        }  # fmt: skip
        self.assertFalse(set(changes.items()) & set(expected.items()))
        expected.update(changes)
        self.assertEqual(values, expected)

    def test_what_is_written_is_good(self):
        self.run_with(GOOD)
        text = self.out.read_text()
        error, values = self.run_with(text)
        self.assertEqual((error, self.out.read_text()), ("", text))

    def test_it_is_used(self):
        """The statistics tell the generation of the policy that the heaps have taken over."""
        for text, generation in (GOOD, 2), (GOOD + "x", 1):
            stats = self.directory / "stats"
            self.run_with(text, {"HAKMEM_STATS": "json", "HAKMEM_STATS_FILE": str(stats)})
            process = json.loads(stats.read_text())["process"]
            self.assertEqual(process["policy_generation"], generation)

    def test_environment_counts_more(self):
        environment = {"HAKMEM_HOT_BLOCKS": "7", "HAKMEM_MID_CACHE_BYTES": "6400"}
        error, values = self.run_with(GOOD, environment)
        self.assertEqual(error, "")
        self.assertEqual((values["hot_blocks"], values["wmax_mid"]), ("7", "1.500"))
        self.assertEqual(values["cache_blocks.1280"], "5")
        # A bad value in the environment leaves the default, as its message says.
        error, values = self.run_with(GOOD, {"HAKMEM_HOT_BLOCKS": "many"})
        default = self.defaults()["hot_blocks"]
        self.assertEqual(
            error, f"hakmem: HAKMEM_HOT_BLOCKS=many: expected 1..4096 blocks; using {default}\n"
        )
        self.assertEqual((values["hot_blocks"], values["wmax_mid"]), (default, "1.500"))

    def test_bad_files(self):
        defaults = self.defaults()
        for bad, line in (
            (GOOD + "hot_bytes = 1\n", "10: hot_bytes: expected 64..1048576 bytes, not '1'"),
            (GOOD + "hot_blocks = 100\n", "10: hot_blocks: given twice"),
            (GOOD + "warm_blocks = 100\n", "10: warm_blocks: no such key"),
            (GOOD + "hot_bytes 100\n", "10: hot_bytes: expected KEY = VALUE [WEIGHT]"),
            (GOOD + "hot_bytes = 10000", "10: hot_bytes: no newline ends the line; was the file cut?"),
            (GOOD.partition("\n")[2], "1: expected 'hakmem-profile 1'"),
            ("", "1: expected 'hakmem-profile 1'"),
            (GOOD.encode() + b"hot_\x1b[m\0 = 1\n", "10: hot_?[m?: a control character; is this a text?"),
        ):
            with self.subTest(line):
                error, values = self.run_with(bad)
                self.assertEqual(error, f"hakmem: HAKMEM_PROFILE={self.profile}:{line}; not used\n")
                self.assertEqual(values, defaults)

    def test_files_that_are_none(self):
        defaults = self.defaults()
        fifo = self.directory / "fifo"
        os.mkfifo(fifo)
        large = self.directory / "large"
        large.write_text(GOOD + "#" * 65535 + "\n")
        for path, what in (
            (self.directory / "missing", ": cannot be read: No such file or directory"),
            (self.directory, ": cannot be read: Is a directory"),
            (fifo, ":1: expected 'hakmem-profile 1'"), ("/dev/null", ":1: expected 'hakmem-profile 1'"),
            (large, ": more than 65536 bytes"), ("/dev/zero", ": more than 65536 bytes"),
        ):  # fmt: skip
            with self.subTest(path):
                error, values = self.run_with(None, {"HAKMEM_PROFILE": str(path)})
                self.assertEqual(error, f"hakmem: HAKMEM_PROFILE={path}{what}; not used\n")
                self.assertEqual(values, defaults)

    def test_the_largest_file(self):
        filler = 65536 - len(GOOD) - 2
        error, values = self.run_with(GOOD + "#" + "x" * filler + "\n")
        self.assertEqual((error, values["hot_blocks"]), ("", "100"))

    def test_output(self):
        pattern = self.directory / "%p-%p"
        self.out.write_text("old")
        self.run_with(GOOD, {"HAKMEM_PROFILE_OUT": str(self.out)})
        result = programs.run(["nothing"], {"HAKMEM_PROFILE_OUT": str(pattern)})
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        names = {path.name for path in self.directory.iterdir()} - {"app.hkp", "out.hkp"}
        self.assertEqual(len(names), 1)
        self.assertRegex(names.pop(), r"\A([0-9]+)-\1\Z")

    def test_output_that_cannot_be_written(self):
        for path, why in {"/no/where": "No such file or directory", self.directory: "Is a directory",
                          "/dev/full": "No space left on device"}.items():  # fmt: skip
            result = programs.run(["nothing"], {"HAKMEM_PROFILE_OUT": str(path)})
            self.assertEqual(result.returncode, 0)
            self.assertEqual(result.stderr, f"hakmem: HAKMEM_PROFILE_OUT={path}: cannot be written: {why}\n")
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_programs_that_close_standard_error(self):
        """ls does, before the library's turn comes."""
        if not programs.settings.preload:
            self.skipTest("no library to preload")
        for variable in "HAKMEM_PROFILE_OUT", "HAKMEM_SITES_OUT":
            environment = {**os.environ, "LD_PRELOAD": programs.settings.preload, variable: "/no/where"}
            result = subprocess.run(["ls", "/"], env=environment, capture_output=True, text=True, timeout=limits.HANG_SECONDS, check=False)
            self.assertEqual(result.stderr.count(f"hakmem: {variable}=/no/where: "), 1, result.stderr)

    def test_output_to_a_device_leaves_the_device(self):
        before = os.stat("/dev/null")
        result = programs.run(["nothing"], {"HAKMEM_PROFILE_OUT": "/dev/null"})
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual((os.stat("/dev/null").st_rdev, os.stat("/dev/null").st_ino), (before.st_rdev, before.st_ino))


if __name__ == "__main__":
    programs.main("profile")
