"""test_sites.py - HAKMEM_SITES and HAKMEM_SITES_OUT under a program: rules do what they say to the blocks of their call
sites and to no others, a bad file gets one line on standard error and changes nothing, and rules that are derived from a
run name the sites that deserve them."""

import os
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import programs  # noqa: E402  (the path is set first)

SLICE = 32 << 10
PAGE = os.sysconf("SC_PAGE_SIZE")
HEADER = "hakmem-sites 1\n"


class Sites(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="hakmem-")
        self.addCleanup(directory.cleanup)
        self.rules = pathlib.Path(directory.name) / "app.sites"
        self.out = pathlib.Path(directory.name) / "out.sites"

    def run_with(self, text, *arguments, **environment):
        """Runs the program on those rules (None: on none); result: its output and what it said on standard error."""
        if text is not None:
            self.rules.write_text(text)
            environment["HAKMEM_SITES"] = str(self.rules)
        result = programs.run(list(arguments), environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout, result.stderr

    def places(self, text, *arguments):
        output, error = self.run_with(text, *(arguments or ["places"]))
        self.assertEqual(error, "")
        return self.addresses(output)

    def addresses(self, output):
        return {words[0]: [int(word, 16) for word in words[1:]] for words in map(str.split, output.splitlines())}

    def slices(self, blocks):
        return {block // SLICE for block in blocks}

    def are_big(self, blocks, places):
        """Whether all are on pages of their own, outside the window, which is mapped in pieces of 2 MiB."""
        window = self.slices(places["temporary"])
        far = [min(abs(block // SLICE - slice) for slice in window) > 1 << 10 for block in blocks]
        self.assertEqual(len(set(far)), 1)
        if far[0]:
            self.assertEqual({block % PAGE for block in blocks}, {0})
        return far[0]

    def assert_no_rule_applies(self, places):
        """Small blocks that are asked for in turn lie in the same slabs, and all blocks in the window."""
        self.assertTrue(self.slices(places["keeper"]) & self.slices(places["temporary"]))
        self.assertTrue(self.slices(places["zeroed"]) & self.slices(places["temporary"]))
        self.assertFalse(self.are_big(places["buffer"], places))

    def test_without_rules(self):
        self.assert_no_rule_applies(self.places(None))
        self.assert_no_rule_applies(self.places(HEADER))
        self.assert_no_rule_applies(self.places(HEADER + "symbol:nobody long-lived\nnobody.so+0x10 big\n"))

    def test_long_lived_blocks_have_slabs_of_their_own(self):
        places = self.places(HEADER + "symbol:keeper long-lived\nsymbol:zeroed long-lived # calloc, too\n")
        self.assertFalse(self.slices(places["keeper"]) & self.slices(places["temporary"]))
        self.assertFalse(self.slices(places["zeroed"]) & self.slices(places["temporary"]))
        self.assertTrue(self.slices(places["zeroed"]) & self.slices(places["keeper"]))
        self.assertEqual(len(set(sum(places.values(), []))), 902)

    def test_big_blocks_have_pages_of_their_own(self):
        for hint in "big", "no-cache", "big populate huge":
            places = self.places(HEADER + f"symbol:buffer {hint}\nsymbol:keeper {hint}\n")
            self.assertTrue(self.are_big(places["buffer"], places), hint)
            # Small blocks are not meant.
            self.assertTrue(self.slices(places["keeper"]) & self.slices(places["temporary"]))

    def test_populated_and_huge_blocks_are_as_others(self):
        self.assert_no_rule_applies(self.places(HEADER + "symbol:buffer populate huge\n"))

    def plugin_is_big(self, rules):
        places = self.places(HEADER + rules, "load", programs.settings.plugin)
        return self.are_big(places["plugin"], places)

    def test_module_that_is_loaded_late(self):
        name = pathlib.Path(programs.settings.plugin).name
        self.assertFalse(self.plugin_is_big(""))
        self.assertTrue(self.plugin_is_big("symbol:plugin_make big\n"))

        # The place that the call returns to, found by halves: rules are for single places.
        def between(low, high, module=name):
            return self.plugin_is_big("".join(f"{module}+{at:#x} big\n" for at in range(low, high)))

        low = next(start for start in range(0, 0x4000, 0x200) if between(start, start + 0x200))
        high = low + 0x200
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if between(low, middle) else (middle, high)
        self.assertFalse(between(low - 1, low) or between(low + 1, low + 2))
        self.assertTrue(between(low, low + 1, os.path.realpath(programs.settings.plugin)))
        self.assertFalse(between(low, low + 1, "/no/such/" + name))

    def test_bad_files(self):
        for text, line in {
            HEADER + "symbol:keeper long-lived\nsymbol:temporary longlived\n":
                r":3: symbol:temporary: expected long-lived, big, no-cache, populate or huge, not 'longlived'",
            "hakmem-sites 2\n": ":1: expected 'hakmem-sites 1'",
            "": ":1: expected 'hakmem-sites 1'",
            HEADER + "symbol:keeper long-lived": ":2: symbol:keeper: no newline ends the line; was the file cut.",
        }.items():  # fmt: skip
            self.rules.write_text(text)
            output, error = self.run_with(None, "places", HAKMEM_SITES=str(self.rules))
            self.assertRegex(error, rf"\Ahakmem: HAKMEM_SITES={self.rules}{line}; not used\n\Z")
            self.assert_no_rule_applies(self.addresses(output))
        _, error = self.run_with(None, "places", HAKMEM_SITES="/no/such/file")
        self.assertEqual(error, "hakmem: HAKMEM_SITES=/no/such/file: cannot be read: No such file or directory; not used\n")

    def test_threads_and_fork(self):
        rules = HEADER + "symbol:keeper long-lived no-cache\nsymbol:buffer big populate\n"
        for environment in {}, {"HAKMEM_SITES_OUT": str(self.out)}:
            output, error = self.run_with(rules, "threads", **environment)
            self.assertEqual((output, error), ("survived\n", ""))

    def test_rules_are_derived_and_apply(self):
        self.run_with(None, "lives", HAKMEM_SITES_OUT=str(self.out))
        lines = self.out.read_text().splitlines()
        self.assertEqual(lines[0] + "\n", HEADER)
        rules = [line for line in lines if not line.startswith(("#", "hakmem-sites"))]
        program = re.escape(pathlib.Path(programs.settings.program).name)
        self.assertRegex(rules[0], rf"\A{program}\+0x[0-9a-f]+ [a-z -]+# [0-9]+ samples, median [0-9]+ bytes, ")
        # One for keeper(), one for buffer(), none for temporary().
        self.assertEqual(sorted(line.split()[1] for line in rules), ["long-lived", "populate"])
        self.assertEqual({re.search("median ([0-9]+)", line)[1] for line in rules}, {"600", "300000"})
        places = self.places(self.out.read_text())
        self.assertFalse(self.slices(places["keeper"]) & self.slices(places["temporary"]))

    def test_a_sampled_run_is_like_another(self):
        output, error = self.run_with(None, "places", HAKMEM_SITES_OUT=str(self.out))
        self.assertEqual(error, "")
        self.assertEqual(self.out.read_text().splitlines()[2:], [])
        self.assertEqual(len(set(output.split())), 902 + 4)

    def test_file_that_cannot_be_written(self):
        _, error = self.run_with(None, "places", HAKMEM_SITES_OUT="/no/such/directory/file")
        self.assertEqual(error, "hakmem: HAKMEM_SITES_OUT=/no/such/directory/file: cannot be written: No such file or directory\n")


if __name__ == "__main__":
    programs.main("test_sites")
