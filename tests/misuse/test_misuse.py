"""test_misuse.py - each wrong use ends in abort() with one line that names the pointer; with
HAKMEM_ON_ERROR=warn the call is ignored, with the same line, and the heap still works."""

import os
import re
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import programs  # noqa: E402  (the path is set first)

# The release build may let these pass: it does not compute where a tiny block starts.
DEBUG_ONLY = {"interior-tiny", "interior-tiny-1024", "not-yet-given-tiny", "misaligned-tiny-by-8"}


def wrong_cases():
    cases = programs.run(["--list"]).stdout.split()
    return [
        case
        for case in cases
        if case != "nothing" and (programs.settings.debug or case not in DEBUG_ONLY)
    ]


# The program and its process, as the message names them.
NAMED = r"misuse\.\w+\[[0-9]+\]: "


class Misuse(unittest.TestCase):
    def check_report(self, case, result, word):
        """One line on standard error: `hakmem: PROGRAM[PID]: CALL(): ... POINTER`."""
        pointer = result.stdout.split("\n")[0]
        self.assertRegex(pointer, r"^0x[0-9a-f]+$")
        self.assertRegex(
            result.stderr,
            r"\Ahakmem: " + NAMED + r"(free|realloc|malloc|malloc_usable_size)\(\): [^\n]*\b" + pointer + r"\b[^\n]*\n\Z",
            "want one line that names " + pointer,
        )
        self.assertIn(word, result.stderr)
        call = re.match("hakmem: " + NAMED + r"(\w+)", result.stderr)[1]
        if case.startswith("written"):  # by the next malloc, or by a tick that takes its list to the slabs
            self.assertIn(call, ("malloc", "free"))
        else:
            calls = {"realloc": "realloc", "usable": "malloc_usable_size"}
            self.assertEqual(call, calls.get(case.split("-")[0], "free"))

    def word_for(self, case):
        # Whether a large or big block was there before cannot be told once its pages are gone.
        if case.startswith(("double-tiny", "double-mid")):
            return "double free"
        if case.startswith("double"):
            return "free"
        if case.startswith("written"):
            return "write after free"
        if "misaligned" in case or case == "wild-1":
            return "misaligned pointer"
        if case.startswith(("realloc-freed", "usable-freed")):
            return "pointer"
        return "invalid pointer"

    def test_aborts(self):
        cases = wrong_cases()
        self.assertGreater(len(cases), 40)
        for case in cases:
            for environment in ({}, {"HAKMEM_ON_ERROR": "abort"}):
                with self.subTest(case=case, environment=environment):
                    result = programs.run([case], environment)
                    self.assertEqual(
                        result.returncode, -signal.SIGABRT, "stderr: " + result.stderr
                    )
                    self.check_report(case, result, self.word_for(case))
                    self.assertNotIn("survived", result.stdout)

    def test_warns(self):
        for case in wrong_cases():
            with self.subTest(case=case):
                result = programs.run([case], {"HAKMEM_ON_ERROR": "warn"})
                self.assertEqual(result.returncode, 0, "stderr: " + result.stderr)
                self.check_report(case, result, self.word_for(case))
                self.assertEqual(result.stdout.split("\n")[1:], ["survived", ""])

    def test_is_silent_when_nothing_is_wrong(self):
        for environment in ({}, {"HAKMEM_ON_ERROR": "warn"}):
            result = programs.run(["nothing"], environment)
            self.assertEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "0x0\nsurvived\n")
            self.assertEqual(result.stderr, "")


if __name__ == "__main__":
    programs.main("misuse")
