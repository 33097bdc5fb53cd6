#!/usr/bin/env python3
"""With little address space left, a program gets at least LEAST of what it gets from the system's malloc.

usage: test_limits.py LIMITED --preload LIBHAKMEM.so
"""
import argparse
import os
import subprocess
import sys

LEAST = 0.75
KIB = (1024, 1536, 2048, 3072, 4096, 8192, 16384)
SIZES = (24, 100, 500, 4096, 20000, 60000)


def got(program, kib, size, preload):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HAKMEM_", "LD_PRELOAD"))}
    if preload:
        environment["LD_PRELOAD"] = preload
    return int(subprocess.run([program, str(kib), str(size)], env=environment, check=True, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("limited")
    parser.add_argument("--preload", required=True)
    arguments = parser.parse_args()
    failed = False
    for kib in KIB:
        for size in SIZES:
            system, ours = (got(arguments.limited, kib, size, preload) for preload in (None, arguments.preload))
            enough = ours >= LEAST * system
            failed |= not enough
            print(f"{kib} KiB left, blocks of {size} bytes: {system} KiB from the system's malloc, {ours} from HAKMEM"
                  f"{'' if enough else ': TOO LITTLE'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
