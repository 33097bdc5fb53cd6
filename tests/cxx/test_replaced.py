"""test_replaced.py - interposition in part: a program, or a library in front of HAKMEM or behind it, defines some
functions of the interface itself.

What each use of the interface calls of them must be what it calls on the system's malloc and the C++ runtime: the same
program, linked without HAKMEM, is the measure. A combination that does not survive there is not expected to survive here.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
settings = None

C = ["malloc", "free", "calloc", "realloc", "aligned_alloc", "memalign", "posix_memalign", "valloc",
     "malloc_usable_size"]  # fmt: skip
NEW = ["new", "new_array", "new_nothrow", "new_array_nothrow", "new_aligned", "new_array_aligned",
       "new_aligned_nothrow", "new_array_aligned_nothrow"]  # fmt: skip
DELETE = ["delete", "delete_array", "delete_sized", "delete_array_sized", "delete_nothrow",
          "delete_array_nothrow", "delete_aligned", "delete_array_aligned", "delete_sized_aligned",
          "delete_array_sized_aligned"]  # fmt: skip

# (kind, names). Kinds: "" of C calls __libc_malloc and its like, of C++ malloc; the others as in the sources.
COMBINATIONS = [
    ("", []),
    # C++: pairs that must not be mixed with others' blocks.
    ("TAGGED", ["new", "delete"]),
    ("TAGGED", ["new", "delete", "new_aligned", "delete_aligned"]),
    ("TAGGED", ["new_array", "delete_array"]),
    ("TAGGED", ["new", "new_array", "delete", "delete_array"]),
    ("TAGGED", ["new_aligned", "delete_aligned"]),
    ("TAGGED", ["new_array_aligned", "delete_array_aligned"]),
    ("TAGGED", NEW + DELETE),
    # C++: one at a time.
    *[("", [name]) for name in NEW + DELETE],
    ("", ["new", "delete"]),
    # C: one at a time, and what programs do.
    *[("", [name]) for name in C],
    ("", ["malloc", "free"]),
    ("", ["malloc", "free", "calloc"]),
    ("", ["malloc", "free", "calloc", "realloc"]),
    ("", ["aligned_alloc", "free"]),
    ("", ["malloc", "new", "delete"]),
    ("ARENA", ["malloc", "free"]),
    ("ARENA", ["malloc", "free", "calloc"]),
    ("ARENA", ["malloc", "free", "calloc", "realloc"]),
    ("ARENA", ["malloc", "free", "calloc", "realloc", "aligned_alloc", "posix_memalign"]),
    ("ARENA", C),
    ("NEXT", ["malloc", "free"]),
    ("NEXT", C),
]  # fmt: skip
# Parts of the interface: each in a process of its own.
PARTS = ["c", "plain", "aligned", "fail"]


def command(*words):
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}\n{result.stderr}")


class Builder:
    """Compiles each part once, and links what is asked for."""

    def __init__(self, folder):
        self.folder = folder
        self.objects = {}
        self.count = itertools.count()
        wanted = {("main", ""), ("fixed", "")} | {(name, kind) for kind, names in COMBINATIONS for name in names}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda what: self.compile(*what), sorted(wanted)))

    def compile(self, name, kind):
        path = os.path.join(self.folder, f"{name}-{kind}.o")
        if name in C:
            words = [settings.cc, "-std=gnu11", "-fPIC", "replaced_c.c"]
        elif name == "main":
            words = [settings.cxx, "-std=c++17", "-fPIC", "replaced_main.cpp"]
        elif name == "fixed":
            words = [settings.cxx, "-std=c++17", "-fno-pie", "-DTAKE_ADDRESSES", "replaced_main.cpp"]
        else:
            words = [settings.cxx, "-std=c++17", "-fPIC", "-fsized-deallocation", "replaced_cxx.cpp"]
        source = os.path.join(HERE, words.pop())
        options = [f"-DREPLACE_{name}"] + ([f"-D{kind}"] if kind else [])
        command(*words, "-D_GNU_SOURCE", "-O1", "-fno-builtin", "-Wno-deprecated-declarations", *options,
                "-c", source, "-o", path)  # fmt: skip
        self.objects[name, kind] = path

    def link(self, kind, names, *more, main="main"):
        path = os.path.join(self.folder, f"program-{next(self.count)}")
        objects = [self.objects[main, ""]] + [self.objects[part, kind] for part in names]
        command(settings.cxx, *objects, *more, "-pthread", "-o", path)
        return path

    def link_library(self, kind, names):
        path = os.path.join(self.folder, f"library-{next(self.count)}.so")
        command(settings.cxx, "-shared", *[self.objects[part, kind] for part in names], "-o", path)
        return path


def run(program, parts, preload=()):
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HAKMEM_")}
    if preload:
        variables["LD_PRELOAD"] = " ".join(preload)
    return subprocess.run([program, *parts], env=variables, capture_output=True, text=True, check=False)


def figures(program, preload=()):
    """What the program prints, by part; None: it does not survive that part."""
    result = run(program, PARTS, preload)
    if result.returncode == 0:
        return {"all": (result.stdout, result.stderr)}
    results = {part: run(program, [part], preload) for part in PARTS}
    return {part: (each.stdout if each.returncode == 0 else None, each.stderr) for part, each in results.items()}


class Replaced(unittest.TestCase):
    maxDiff = None

    def compare(self, combinations, check):
        """`check` yields (way, what the measure prints, what the program prints on HAKMEM)."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for (kind, names), results in zip(combinations, pool.map(lambda each: list(check(*each)), combinations)):
                for way, expected, found in results:
                    with self.subTest(kind=kind, names=" ".join(names), way=way):
                        self.compare_figures(expected, found)

    def compare_figures(self, expected, found):
        if set(expected) != set(found) and "all" in found:
            return  # it survives more
        for part, (text, _) in expected.items():
            if text is not None:
                self.assertIn(part, found, [error for _, error in found.values()])
                self.assertEqual(found[part][0], text, found[part][1])
                self.assertGreater(len(text), 100)

    def test_program(self):
        """The program's own, with HAKMEM preloaded and linked in either way."""
        folder = os.path.dirname(settings.shared)

        def check(kind, names):
            plain = builder.link(kind, names)
            expected = figures(plain)
            yield "preloaded", expected, figures(plain, [settings.shared])
            shared = builder.link(kind, names, "-Wl,--no-as-needed", f"-L{folder}", "-lhakmem", f"-Wl,-rpath,{folder}")
            yield "shared", expected, figures(shared)
            if kind != "NEXT":  # there is no next one: ours is in the program itself
                yield "static", expected, figures(builder.link(kind, names, *settings.static_options, settings.static))

        self.compare(COMBINATIONS, check)

    def test_archive_alone(self):
        """Without what the package says: whoever only names the archive gets a program as well."""

        def check(kind, names):
            yield "archive", figures(builder.link(kind, names)), figures(builder.link(kind, names, settings.static))

        self.compare(COMBINATIONS[:8], check)

    def test_whole_archive(self):
        def check(kind, names):
            whole = builder.link(kind, names, "-Wl,--whole-archive", settings.static, "-Wl,--no-whole-archive")
            yield "whole archive", figures(builder.link(kind, names)), figures(whole)

        self.compare(COMBINATIONS[:4] + COMBINATIONS[-3:-2], check)

    def test_fully_static(self):
        """Without any shared library, and so without what the dynamic linker knows."""

        def check(kind, names):
            static = builder.link(kind, names, "-static", *settings.static_options, settings.static)
            yield "fully static", figures(builder.link(kind, names)), figures(static)

        self.compare(COMBINATIONS[:4], check)

    def test_nothing_else_throws(self):
        source = os.path.join(HERE, "alone.cpp")
        for options in (["-static"], ["-static-libstdc++"], []):
            program = os.path.join(builder.folder, "alone")
            command(settings.cxx, "-O1", source, *options, *settings.static_options, settings.static, "-pthread",
                    "-o", program)  # fmt: skip
            result = run(program, [])
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_library(self):
        """A library's, preloaded in front of HAKMEM, and behind it, where nobody sees it."""

        def check(kind, names):
            plain = builder.link("", [], "-rdynamic")
            library = builder.link_library(kind, names)
            yield "in front", figures(plain, [library]), figures(plain, [library, settings.shared])
            if kind != "TAGGED" or "new" in names:
                yield "behind", figures(plain), figures(plain, [settings.shared, library])

        self.compare(COMBINATIONS[1:], check)

    def test_without_position_independence(self):
        """A program whose code takes the address of malloc: a jump of its own is what all see as malloc."""

        def check(kind, names):
            program = builder.link(kind, names, "-no-pie", main="fixed")
            yield "fixed", figures(program), figures(program, [settings.shared])
            library = builder.link_library("NEXT", ["malloc", "free"])
            exported = builder.link(kind, names, "-no-pie", "-rdynamic", main="fixed")
            yield "in front", figures(exported, [library]), figures(exported, [library, settings.shared])

        self.compare(COMBINATIONS[:3], check)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cc", required=True)
    parser.add_argument("--cxx", required=True)
    parser.add_argument("--shared", required=True, help="libhakmem.so")
    parser.add_argument("--static", required=True, help="libhakmem.a")
    parser.add_argument("--static-options", default="", help="what the package links with besides: A;B")
    settings, rest = parser.parse_known_args()
    settings.static_options = ["-Wl," + option.removeprefix("LINKER:") for option in settings.static_options.split(";") if option]
    with tempfile.TemporaryDirectory() as directory:
        builder = Builder(directory)
        unittest.main(argv=[sys.argv[0], *rest])
