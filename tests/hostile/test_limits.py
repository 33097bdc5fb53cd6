#!/usr/bin/env python3
"""With little address space left, a program gets at least LEAST of what it gets from the system's malloc, and programs run under
`ulimit -v` with little more than they need without HAKMEM.

usage: test_limits.py LIMITED --preload LIBHAKMEM.so
"""
import argparse
import os
import resource
import shutil
import subprocess
import sys

LEAST = 0.75
KIB = (1024, 1536, 2048, 3072, 4096, 8192, 16384)
SIZES = (24, 100, 500, 4096, 20000, 60000)

# Programs, and how many KiB more they may need: some 300 are the library and what it starts with, 32 each class of blocks.
PROGRAMS = (
    (("cat", "/etc/passwd"), 384),
    (("ls", "/"), 768),
    (("bash", "-c", "true"), 1024),
    (("perl", "-e", "1"), 1280),
    (("python3", "-c", "1"), 2560),
)
STEP_KIB = 16
TRIES = 3


def variables(preload):
    found = {key: value for key, value in os.environ.items() if not key.startswith(("HAKMEM_", "LD_PRELOAD"))}
    if preload:
        found["LD_PRELOAD"] = preload
    return found


def got(program, kib, size, preload):
    return int(
        subprocess.run([program, str(kib), str(size)], env=variables(preload), check=True, stdout=subprocess.PIPE).stdout
    )


def runs(command, kib, preload):
    """Whether the program ends well with so many KiB of addresses. Without a locale, which it takes if there is room for it."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (kib * 1024, kib * 1024))

    # Started by env, so that what is preloaded is the program's alone.
    settings = ["env", "LC_ALL=C", *([f"LD_PRELOAD={preload}"] if preload else [])]
    nothing = subprocess.DEVNULL
    # Where the kernel lays things out differently each time, once in a while one does not fit beside another.
    return any(
        subprocess.run([*settings, *command], env=variables(None), check=False, preexec_fn=limit, stdin=nothing, stdout=nothing, stderr=nothing).returncode == 0
        for _ in range(TRIES)
    )


def least_limit(command, preload):
    """The KiB that it needs, up to STEP_KIB."""
    low, high = 0, 64 * 1024
    while high - low > STEP_KIB:
        middle = (low + high) // 2
        if runs(command, middle, preload):
            high = middle
        else:
            low = middle
    return high


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
    for command, more in PROGRAMS:
        if shutil.which(command[0]) is None:
            continue
        system, ours = (least_limit(command, preload) for preload in (None, arguments.preload))
        failed |= ours > system + more
        print(f"{' '.join(command)}: runs with {system} KiB on the system's malloc, {ours} on HAKMEM"
              f"{f': MORE THAN {more} KiB MORE' if ours > system + more else ''}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
