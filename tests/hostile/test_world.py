#!/usr/bin/env python3
"""The differential test in a world that is as unkind as it can be: see unkind.c, which is preloaded before HAKMEM.

usage: test_world.py DIFFERENTIAL --blocks BLOCKS --unkind UNKIND.so --preload LIBHAKMEM.so [--seconds S] [--seed N] [--rounds R] [--world NAME]...

Each world runs DIFFERENTIAL for S seconds a part, from seed N on, R times with another seed each; without --world, all
of them. In those with strangers BLOCKS runs as well, which needs many mappings. Where memory may be refused, DIFFERENTIAL accepts that a call returns NULL with ENOMEM, and nothing else.
"""
import argparse
import os
import pathlib
import resource
import shutil
import subprocess
import sys

SKIPPED = 77  # unkind.c: not permitted here


class World:
    def __init__(self, name, unkind="", refuses=False, layout=None, stack=None, blocks=False):
        self.name, self.unkind, self.refuses, self.layout, self.stack = name, unkind, refuses, layout, stack
        self.blocks = blocks  # the program is BLOCKS


INFINITY = resource.RLIM_INFINITY
SMALL_STACK = 256 << 10  # of the test's threads, too
WORLDS = [
    World("kind"),
    World("strangers", "strangers"),
    World("strangers-blocks", "strangers", blocks=True),
    World("bottom-up-strangers-blocks", "strangers", layout="--addr-compat-layout", blocks=True),
    World("strangers-and-everything-else", "strangers,flags,signals,forks,threads"),
    World("bottom-up", layout="--addr-compat-layout"),
    World("bottom-up-strangers", "strangers", layout="--addr-compat-layout"),
    World("low-addresses", layout="--addr-no-randomize"),
    World("stack-unlimited", "threads", stack=INFINITY),
    World("locked", "locked"),
    World("maps-few", "maps=400", refuses=True),
    World("maps-none", "maps=0", refuses=True),
    World("forks", "forks"),
    World("forks-signals", "forks,signals"),
    World("threads-signals", "threads,signals"),
    World("refusals", "refusals", refuses=True),
    World("refusals-strangers-signals-threads", "refusals,strangers,signals,threads", refuses=True),
] + [World(f"addresses-{kib}K", f"addresses={kib}", refuses=True, stack=SMALL_STACK)
     for kib in (1024, 2048, 4096, 16384, 65536, 262144)]


def limit_stack(world):
    def set_limit():
        if world.stack is not None:
            most = resource.getrlimit(resource.RLIMIT_STACK)[1]
            wanted = most if world.stack == INFINITY else world.stack
            resource.setrlimit(resource.RLIMIT_STACK, (wanted, most))
    return set_limit


def run(world, arguments, seed):
    """Result: whether the world was survived; None: it cannot be made here."""
    command = [arguments.blocks] if world.blocks else [arguments.differential, str(arguments.seconds), str(seed)]
    if world.layout is not None:
        if shutil.which("setarch") is None:
            return None
        command = ["setarch", world.layout] + command
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HAKMEM_", "LD_PRELOAD"))}
    environment.update(HAKMEM_TEST_UNKIND=world.unkind, HAKMEM_TEST_SEED=str(seed))
    if world.refuses:
        environment["HAKMEM_TEST_REFUSALS"] = "1"
    environment["LD_PRELOAD"] = f"{arguments.unkind} {arguments.preload}"
    ended = subprocess.run(command, env=environment, preexec_fn=limit_stack(world), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, errors="replace")
    if ended.returncode == SKIPPED:
        return None
    if ended.returncode != 0:
        print(f"{world.name}: seed {seed}: ended with {ended.returncode}; its last lines:")
        print("\n".join(ended.stdout.splitlines()[-12:]), flush=True)
    return ended.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("differential", type=pathlib.Path)
    parser.add_argument("--world", action="append", dest="worlds", default=[])
    parser.add_argument("--blocks", required=True)
    parser.add_argument("--unkind", required=True)
    parser.add_argument("--preload", required=True)
    parser.add_argument("--debug", action="store_true", help="the library is a debug build, which changes nothing here")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    unknown = set(arguments.worlds) - {world.name for world in WORLDS}
    if unknown:
        sys.exit(f"no world named {', '.join(sorted(unknown))}; there are: {' '.join(world.name for world in WORLDS)}")
    lost = 0
    for world in WORLDS:
        if arguments.worlds and world.name not in arguments.worlds:
            continue
        results = [run(world, arguments, arguments.seed + round_) for round_ in range(arguments.rounds)]
        lost += results.count(False)
        text = "cannot be made here" if None in results else "survived" if all(results) else "LOST"
        print(f"{world.name}: {text}", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
