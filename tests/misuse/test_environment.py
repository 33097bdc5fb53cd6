"""test_environment.py - options from the environment: a bad value gets one line on standard
error naming variable, value, range and default, and the program runs on; good values, the
extreme ones too, are silent. The options are read from options.def."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import programs  # noqa: E402  (the path is set first)

NUMBER_OPTION = re.compile(
    r'^HKM_OPTION_(UINT|REAL)\((\w+), "(\w+)", (\d+), (\d+), (\d+), "([^"]*)"', re.MULTILINE
)
CHOICE_OPTION = re.compile(r'^HKM_OPTION_ENUM\((\w+), "(\w+)", (\d+), "([^"]*)"', re.MULTILINE)


def table():
    with open(programs.settings.options, encoding="utf-8") as file:
        return file.read()


def number_options():
    """Yields kind, variable, default, minimum, maximum, unit."""
    for match in NUMBER_OPTION.finditer(table()):
        yield match[1], match[3], int(match[4]), int(match[5]), int(match[6]), match[7]


def choice_options():
    """Yields variable, default choice, all choices."""
    for match in CHOICE_OPTION.finditer(table()):
        choices = match[4].split("|")
        yield match[2], choices[int(match[3])], match[4]


def whole(number, unit):
    """As people write it: bytes in K, M or G if they are whole."""
    suffix = ""
    for following in "KMG":
        if unit == "bytes" and number != 0 and number % 1024 == 0:
            number, suffix = number // 1024, following
    return f"{number}{suffix}"


def real(thousandths):
    return f"{thousandths // 1000}.{thousandths % 1000:03}"


class Environment(unittest.TestCase):
    def run_with(self, environment):
        """Runs the program; it must do its work, whatever is in the environment."""
        result = programs.run(["nothing"], environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "0x0\nsurvived\n")
        return result.stderr

    def test_table_is_understood(self):
        self.assertGreater(len(list(number_options())), 15)
        self.assertGreaterEqual(len(list(choice_options())), 2)
        options = re.findall(r'^HKM_OPTION_[A-Z]+\(\w+, "', table(), re.MULTILINE)
        texts = re.findall(r'^HKM_OPTION_(?:TEXT|RATIOS)\(\w+, "', table(), re.MULTILINE)
        known = len(list(number_options())) + len(list(choice_options())) + len(texts)
        self.assertEqual(len(options), known, "an option has a form this test does not know")

    def test_bad_numbers(self):
        for kind, variable, default, minimum, maximum, unit in number_options():
            show = real if kind == "REAL" else str
            bad = ["abc", "-1", "12x", "1 2", "0x10", "99999999999999999999999", "+-3", "."]
            bad.append(show(maximum + 1))
            if minimum > 0:
                bad.append(show(minimum - 1))
            if kind == "UINT":
                bad += ["99999999999999999G", "1.5"]
            for value in bad:
                with self.subTest(variable=variable, value=value):
                    error = self.run_with({variable: value})
                    self.assertRegex(
                        error,
                        rf"\Ahakmem: {variable}={re.escape(value)}: expected [^\n]*; using [^\n]*\n\Z",
                    )
                    expected, using = error.split("expected ")[1].rstrip("\n").split("; using ")
                    if kind == "UINT":
                        self.assertEqual(expected, f"{whole(minimum, unit)}..{whole(maximum, unit)} {unit}")
                        self.assertEqual(using, whole(default, unit))
                    else:
                        low, high = re.match(r"([\d.]+?)\.\.([\d.]+)", expected).groups()
                        self.assertEqual(float(low), minimum / 1000)
                        self.assertEqual(float(high), maximum / 1000)
                        self.assertEqual(float(using), default / 1000)

    def test_bad_choices(self):
        for variable, default, choices in choice_options():
            for value in ("loud", "ABORT", "abortt", "2", "-"):
                with self.subTest(variable=variable, value=value):
                    error = self.run_with({variable: value})
                    self.assertEqual(
                        error, f"hakmem: {variable}={value}: expected {choices}; using {default}\n"
                    )

    def test_several_bad_values(self):
        error = self.run_with(
            {
                "HAKMEM_PURGE_DELAY_MS": "abc",
                "HAKMEM_WMAX_MID": "9",
                "HAKMEM_ON_ERROR": "perhaps",
                "HAKMEM_BIG_CACHE_BYTES": "lots",
            }
        )
        self.assertEqual(len(error.splitlines()), 4, error)
        self.assertIn("hakmem: HAKMEM_PURGE_DELAY_MS=abc: expected 0..600000 ms; using 100\n", error)

    def test_bad_candidates(self):
        for layer, default in (("MID", "1.4,1.6,1.8,2.0"), ("LARGE", "1.25,1.5,1.75,2.0")):
            for value in ("abc", "1.5,garbage,2.0", "1.5,5,2.0", "1.5,1.4000000000000garbage,2.0", "1," * 8):
                for learn in ("0", "1"):
                    variable = f"HAKMEM_WMAX_CANDIDATES_{layer}"
                    self.assertEqual(
                        self.run_with({"HAKMEM_LEARN": learn, variable: value}),
                        f"hakmem: {variable}={value}: expected up to 7 ratios from 1 to 4, separated by commas; "
                        f"using {default}\n",
                    )
            self.assertEqual(self.run_with({variable: "1.5,2", "HAKMEM_LEARN": "1"}), "")

    def test_bad_value_that_is_not_one_line(self):
        for variable, default in (("HAKMEM_HOT_BYTES", "64K"), ("HAKMEM_WMAX_MID", "1.000"), ("HAKMEM_ON_ERROR", "abort")):
            error = self.run_with({variable: "a\nb\t\x1b[1m\x7f\u00fc"})
            self.assertRegex(error, rf"\Ahakmem: {variable}=a\?b\?\?\[1m\?\u00fc: expected [^\n]*; using {default}\n\Z")

    def test_long_bad_value(self):
        error = self.run_with({"HAKMEM_HOT_BLOCKS": "z" * 100000})
        self.assertTrue(error.startswith("hakmem: HAKMEM_HOT_BLOCKS=zzz"), error[:100])
        self.assertEqual(error.count("\n"), 1)

    def test_good_values_are_silent(self):
        for kind, variable, default, minimum, maximum, _unit in number_options():
            show = real if kind == "REAL" else str
            for number in {default, minimum, maximum, (minimum + default) // 2}:
                with self.subTest(variable=variable, value=show(number)):
                    self.assertEqual(self.run_with({variable: show(number)}), "")
        for variable, _default, choices in choice_options():
            if variable != "HAKMEM_STATS":  # that one prints by design
                for choice in choices.split("|"):
                    self.assertEqual(self.run_with({variable: choice}), "")

    def test_suffixes(self):
        for value in ("64K", "1M", "1G", "64k", "64KiB", "1MiB", "1gib"):
            self.assertEqual(self.run_with({"HAKMEM_BIG_CACHE_BYTES": value}), "")
        error = self.run_with({"HAKMEM_MID_DYN1": "33K"})
        self.assertRegex(error, r"\Ahakmem: HAKMEM_MID_DYN1=33K: expected 0\.\.32K bytes; ")

    def test_empty_is_unset(self):
        variables = re.findall(r'^HKM_OPTION_[A-Z]+\(\w+, "(\w+)"', table(), re.MULTILINE)
        self.assertEqual(self.run_with(dict.fromkeys(variables, "")), "")


if __name__ == "__main__":
    programs.main("environment")
