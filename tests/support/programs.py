"""programs.py - what the Python drivers share: arguments, and running a test program."""

import argparse
import os
import subprocess
import unittest

import limits

settings = None


def run(arguments, environment=None, preload=True):
    """Runs the test program with `arguments`; returns subprocess's result, texts decoded."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("HAKMEM_")
    }
    if settings.preload and preload:
        variables["LD_PRELOAD"] = settings.preload
    variables.update(environment or {})
    return subprocess.run(
        [settings.program, *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limits.HANG_SECONDS,
        check=False,
    )


def main(description):
    """Reads the arguments that CMakeLists.txt gives, then runs the tests of the main module."""
    global settings
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("program", help="the test program")
    parser.add_argument("--preload", help="library for LD_PRELOAD")
    parser.add_argument("--options", help="path of options.def")
    parser.add_argument("--plugin", help="a module for the program to load")
    parser.add_argument("--debug", action="store_true", help="the library is a debug build")
    settings, rest = parser.parse_known_args()
    unittest.main(argv=[description, *rest])
