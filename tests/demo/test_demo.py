"""test_demo.py - one case of the demo: its first words come before anything is measured, what is piped holds no escape
sequences and no long lines, and the bars are as long as the figures say.

usage: tests/demo/test_demo.py [unittest arguments]    (the product has to be built)
"""
import os
import pathlib
import re
import subprocess
import unittest

DEMO = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "demo"
CASE = "2,100 bytes"


class Demo(unittest.TestCase):
    def shown(self, **environment):
        """The lines of one case, without a terminal."""
        done = subprocess.run([DEMO, CASE], env={**os.environ, **environment}, capture_output=True, text=True, check=True,
                              encoding=environment.get("PYTHONIOENCODING", "utf-8"))
        self.assertEqual(done.stderr, "")
        self.assertNotIn("\033", done.stdout)
        return done.stdout.splitlines()

    def check_bars(self, lines, block):
        """(figure, length of its bar) on both mallocs: the bars have the figures' ratio."""
        bars = [(float(figure), len(bar)) for bar, figure in
                re.findall(rf"(?:system malloc|HAKMEM +) *({block}+) +([0-9.]+) MiB", "\n".join(lines))]
        self.assertEqual(len(bars), 2, lines)
        (system, system_length), (ours, our_length) = bars
        self.assertAlmostEqual(system_length / our_length, system / ours, delta=2 / min(system_length, our_length))

    def test_piped(self):
        lines = self.shown(COLUMNS="90", PYTHONIOENCODING="utf-8")
        self.assertLessEqual(max(map(len, lines)), 90)
        self.assertTrue(lines[0].startswith("The same programs"))
        self.check_bars(lines, "\u2588")
        self.assertTrue(any(line.startswith("memory at rest: HAKMEM needed less in") for line in lines))

    def test_without_unicode(self):
        self.check_bars(self.shown(COLUMNS="90", PYTHONIOENCODING="ascii"), "#")

    def test_the_case_is_named_before_it_is_measured(self):
        with subprocess.Popen([DEMO, CASE], stdout=subprocess.PIPE, text=True) as demo:
            named = any(line.startswith("1/1 ") for line in iter(demo.stdout.readline, ""))
            self.assertTrue(named and demo.poll() is None)
            demo.stdout.read()


if __name__ == "__main__":
    unittest.main()
