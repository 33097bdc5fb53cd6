"""test_fast_paths.py - what the fast paths of malloc and free refer to: the tables, the thread's heap and the slow
functions; nothing of the policy, the learner or its meters. There is one library, so its fast paths are the same
machine code with learning on and off, and this shows that they have no learning in them.

usage: test_fast_paths.py LIBRARY [OBJDUMP]
"""

import re
import subprocess
import sys
import unittest

LIBRARY = sys.argv.pop(1)
OBJDUMP = sys.argv.pop(1) if len(sys.argv) > 1 else "objdump"

ALLOWED = {
    "malloc": {"malloc", "hkm_window", "hkm_bin_offsets", "hkm_malloc_slow", "hkm_tls_heap", "_GLOBAL_OFFSET_TABLE_"},
    "free": {"free", "hkm_window", "hkm_free_slow", "hkm_free_other", "hkm_free_full", "hkm_free_twice", "hkm_tls_heap",
             "_GLOBAL_OFFSET_TABLE_"},
}  # fmt: skip
MOST_INSTRUCTIONS = {"malloc": 21, "free": 30}


def disassembly(function):
    """The instructions of a function, one a line."""
    text = subprocess.run(
        [OBJDUMP, "-d", "--no-show-raw-insn", f"--disassemble={function}", LIBRARY],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [line for line in text.splitlines() if re.match(r" +[0-9a-f]+:\t", line)]


class FastPaths(unittest.TestCase):
    def test_they_refer_to_nothing_that_learns(self):
        for function, allowed in ALLOWED.items():
            lines = disassembly(function)
            symbols = set(re.findall(r"<([^+>@]+)", "\n".join(lines)))
            self.assertTrue(symbols & {f"hkm_{function}_slow"}, f"{function} was not found in {LIBRARY}")
            self.assertLessEqual(symbols, allowed, function)

    def test_they_are_short(self):
        for function, most in MOST_INSTRUCTIONS.items():
            instructions = [line for line in disassembly(function) if "nop" not in line]
            self.assertLessEqual(len(instructions), most, function)
            self.assertFalse([line for line in instructions if "\tcall" in line or "lock " in line], function)


if __name__ == "__main__":
    unittest.main()
