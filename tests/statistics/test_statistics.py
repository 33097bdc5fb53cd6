"""test_statistics.py - HAKMEM_STATS as a table and as JSON, on standard error or in a file; the
figures fit what the program did; policy values from the environment change what they should."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from xml.etree import ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import limits  # noqa: E402
import programs  # noqa: E402  (the path is set first)

FIELDS = {
    "process": {
        "live_bytes", "held_bytes", "resident_bytes", "peak_resident_bytes", "metadata_bytes",
        "page_faults", "purged_bytes", "threads", "heaps", "policy_generation",
    },
    "tiny": {
        "live_bytes", "held_bytes", "slabs", "refills", "carved", "remote_sent",
        "remote_messages", "remote_received", "classes",
    },
    "mid": {"live_bytes", "held_bytes", "cached_bytes", "spans", "hits", "misses", "classes"},
    "large": {"live_bytes", "held_bytes", "cached_bytes", "spans", "hits", "misses", "classes"},
    "big": {
        "live_bytes", "cached_bytes", "mappings", "hits", "misses", "remaps", "purged_bytes",
    },
    "learning": {
        "windows", "steps", "step_ns_max", "step_ns_total", "decisions", "rollbacks",
    },
}  # fmt: skip
# Of "learning": what is not a count.
LEARNING_OTHERS = {
    "state", "objective", "noise", "slow_p50_ns", "slow_p95_ns", "slow_p99_ns", "policy",
}  # fmt: skip
TINY_CLASS_FIELDS = {"size", "live", "slabs", "refills"}
SPAN_CLASS_FIELDS = {"size", "live", "cached", "spans", "hits", "misses"}

# What statistics.c keeps: layer -> count, size.
KEPT = {"tiny": (20000, 100), "mid": (200, 5000), "large": (20, 300000), "big": (3, 5000000)}
KEPT_BYTES = sum(count * size for count, size in KEPT.values())


class Statistics(unittest.TestCase):
    def run_ok(self, arguments, environment=None):
        result = programs.run(arguments, environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def check_shape(self, statistics):
        self.assertEqual(set(statistics) - {"hakmem"}, set(FIELDS))
        self.assertEqual(statistics["hakmem"]["version"], "0.1.0")
        for layer, fields in FIELDS.items():
            self.assertEqual(set(statistics[layer]) - LEARNING_OTHERS, fields, layer)
            for name in fields - {"classes"}:
                self.assertIsInstance(statistics[layer][name], int, name)
                self.assertGreaterEqual(statistics[layer][name], 0, name)
        for layer, fields in (
            ("tiny", TINY_CLASS_FIELDS), ("mid", SPAN_CLASS_FIELDS), ("large", SPAN_CLASS_FIELDS),
        ):  # fmt: skip
            for entry in statistics[layer]["classes"]:
                self.assertEqual(set(entry), fields, layer)
            sizes = [entry["size"] for entry in statistics[layer]["classes"]]
            self.assertEqual(len(sizes), len(set(sizes)))

    def check_figures(self, statistics):
        """The figures agree with each other and with what the program keeps."""
        process = statistics["process"]
        self.assertGreaterEqual(process["live_bytes"], KEPT_BYTES)
        self.assertLess(process["live_bytes"], KEPT_BYTES * 1.3)
        self.assertGreaterEqual(process["held_bytes"], process["live_bytes"])
        # The kernel updates the peak with some delay.
        self.assertGreaterEqual(process["peak_resident_bytes"], process["resident_bytes"] - 2**20)
        self.assertGreaterEqual(process["resident_bytes"], KEPT_BYTES)
        self.assertGreater(process["page_faults"], 100)
        self.assertGreaterEqual(process["threads"], 1)
        for layer, (count, size) in KEPT.items():
            figures = statistics[layer]
            self.assertGreaterEqual(figures["live_bytes"], count * size, layer)
            self.assertLess(figures["live_bytes"], count * size * 1.3 + 100000, layer)
            if layer == "big":
                self.assertGreaterEqual(figures["mappings"], count)
                continue
            self.assertGreaterEqual(figures["held_bytes"], figures["live_bytes"])
            fitting = [entry for entry in figures["classes"] if entry["size"] >= size]
            best = min(fitting, key=lambda entry: entry["size"])
            self.assertGreaterEqual(best["live"], count, layer)
            self.assertLess(best["live"], count + count / 5 + 200, layer)
            by_class = sum(entry["live"] * entry["size"] for entry in figures["classes"])
            self.assertEqual(by_class, figures["live_bytes"], layer)
        layers = sum(statistics[layer]["live_bytes"] for layer in KEPT)
        self.assertEqual(layers, process["live_bytes"])

    def test_json_at_exit(self):
        result = self.run_ok(["keep"], {"HAKMEM_STATS": "json"})
        statistics = json.loads(result.stderr)
        self.check_shape(statistics)
        self.check_figures(statistics)

    def test_json_at_run_time(self):
        result = self.run_ok(["keep"])
        self.assertEqual(result.stderr, "")
        statistics = json.loads(result.stdout)
        self.check_shape(statistics)
        self.check_figures(statistics)

    def test_remote_frees_are_counted(self):
        statistics = json.loads(self.run_ok(["threads"]).stdout)
        self.check_figures(statistics)
        tiny = statistics["tiny"]
        self.assertGreaterEqual(tiny["remote_sent"], 20000)
        self.assertGreater(tiny["remote_messages"], 0)
        self.assertLess(tiny["remote_messages"], tiny["remote_sent"] / 4)
        self.assertLessEqual(tiny["remote_received"], tiny["remote_sent"])

    def test_table(self):
        result = self.run_ok(["keep"], {"HAKMEM_STATS": "1"})
        json.loads(result.stdout)  # only the program's own text
        lines = result.stderr.splitlines()
        self.assertGreater(len(lines), 8)
        self.assertLess(max(len(line) for line in lines), 120)
        table = result.stderr.lower()
        for word in ("tiny", "mid", "large", "big", "live", "held", "hits", "misses", "remote",
                     "fault", "purged"):  # fmt: skip
            self.assertIn(word, table)
        self.assertTrue(result.stderr.isprintable() or "\t" not in result.stderr)

    def test_none(self):
        for environment in ({}, {"HAKMEM_STATS": "0"}):
            self.assertEqual(self.run_ok(["keep"], environment).stderr, "")

    def test_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "figures-%p.json")
            environment = {"HAKMEM_STATS": "json", "HAKMEM_STATS_FILE": path}
            result = self.run_ok(["keep"], environment)
            self.assertEqual(result.stderr, "")
            (name,) = os.listdir(folder)
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                statistics = json.load(file)
            self.check_figures(statistics)
            self.assertEqual(name, f"figures-{statistics['hakmem']['pid']}.json")
            own = json.loads(result.stdout)
            self.assertEqual(own["hakmem"]["pid"], statistics["hakmem"]["pid"])

    def test_table_in_a_file_without_pid(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "table")
            result = self.run_ok(["keep"], {"HAKMEM_STATS": "1", "HAKMEM_STATS_FILE": path})
            self.assertEqual(result.stderr, "")
            with open(path, encoding="utf-8") as file:
                self.assertIn("tiny", file.read().lower())

    def test_child_has_its_own_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "%p")
            self.run_ok(["fork"], {"HAKMEM_STATS": "json", "HAKMEM_STATS_FILE": path})
            names = os.listdir(folder)
            self.assertEqual(len(names), 2)
            for name in names:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    self.assertEqual(str(json.load(file)["hakmem"]["pid"]), name)

    def test_file_that_cannot_be_written(self):
        result = self.run_ok(
            ["keep"], {"HAKMEM_STATS": "json", "HAKMEM_STATS_FILE": "/nonexistent/figures"}
        )
        json.loads(result.stdout)
        self.assertLessEqual(len(result.stderr.splitlines()), 1)

    def test_pipe_that_nobody_reads(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pipe")
            os.mkfifo(path)
            for variable in ("STATS_FILE", "PROFILE_OUT", "SITES_OUT", "LEARN_LOG"):
                with self.subTest(variable=variable):
                    statistics = {"HAKMEM_STATS": "json"} if variable == "STATS_FILE" else {}
                    result = self.run_ok(["keep"], {"HAKMEM_" + variable: path, **statistics})
                    json.loads(result.stdout)
                    self.assertRegex(result.stderr, rf"\Ahakmem: HAKMEM_{variable}={path}: cannot be written: No such device or address\n\Z")

    def test_pipe_with_a_reader(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "pipe")
            os.mkfifo(path)
            with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as reader:
                with open(path, "wb"):  # waits for the reader, and keeps it
                    environment = {"HAKMEM_STATS": "json", "HAKMEM_STATS_FILE": path}
                    result = self.run_ok(["keep"], environment)
                self.assertEqual(result.stderr, "")
                self.check_figures(json.load(reader.stdout))

    def test_closed_standard_error(self):
        variables = dict(os.environ, HAKMEM_STATS="1")
        if programs.settings.preload:
            variables["LD_PRELOAD"] = programs.settings.preload
        result = subprocess.run(
            ["bash", "-c", '"$0" keep 2>&-', programs.settings.program],
            env=variables, stdout=subprocess.PIPE, text=True, check=False, timeout=limits.HANG_SECONDS,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0)
        json.loads(result.stdout)


    def test_a_file_that_has_become_standard_error(self):
        """A program that closes all descriptors, as daemons do, gets their numbers for its own files."""
        program = ("import os\nos.closerange(0, 1024)\n"
                   "[os.open(name, os.O_WRONLY | os.O_CREAT) for name in ('0', '1', '2')]\nos.write(2, b'DATA')\n")
        if not programs.settings.preload:
            self.skipTest("a library is preloaded under the program")
        with tempfile.TemporaryDirectory() as folder:
            variables = dict(os.environ, HAKMEM_STATS="1", LD_PRELOAD=programs.settings.preload)
            subprocess.run(["/usr/bin/python3", "-c", program], env=variables, cwd=folder, check=True)
            with open(os.path.join(folder, "2"), "rb") as data:
                self.assertEqual(data.read(), b"DATA")


class Information(unittest.TestCase):
    """malloc_info, whose readers know glibc's."""

    def document(self, preload):
        result = programs.run(["information"], preload=preload)
        self.assertEqual(result.returncode, 0, result.stderr)
        return ElementTree.fromstring(result.stdout)

    def shape(self, element):
        """Names, types and attributes; the sizes that are listed differ."""
        if element.tag in ("size", "unsorted"):
            return {("size", "", tuple(sorted(element.attrib)))}
        kind = element.get("type", "")
        return {(element.tag, kind, tuple(sorted(element.attrib)))}.union(*(self.shape(child) for child in element))

    def figure(self, element, name, kind, attribute="size"):
        (found,) = [each for each in element.findall(name) if each.get("type") == kind]
        return int(found.get(attribute))

    def test_same_form_as_glibc(self):
        if not programs.settings.preload:
            self.skipTest("the program has no other malloc")
        self.assertEqual(self.shape(self.document(True)), self.shape(self.document(False)))

    def test_figures(self):
        document = self.document(True)
        heap = document.find("heap")
        free = {int(each.get("to")): each for each in heap.find("sizes").findall("size")}
        for size in (700, 9000):
            fitting = min(to for to in free if to >= size)
            self.assertGreaterEqual(int(free[fitting].get("count")), 250)
            self.assertEqual(int(free[fitting].get("total")), fitting * int(free[fitting].get("count")))
            self.assertLess(fitting, size * 1.3)
        for each in (document, heap):
            current = self.figure(each, "system", "current")
            self.assertGreaterEqual(self.figure(each, "system", "max"), current)
            self.assertGreaterEqual(self.figure(each, "aspace", "total"), current)
            self.assertLessEqual(
                self.figure(each, "total", "fast") + self.figure(each, "total", "rest"), current
            )
        listed = sum(int(each.get("count")) for each in heap.find("sizes"))
        counted = sum(self.figure(heap, "total", kind, "count") for kind in ("fast", "rest"))
        self.assertLessEqual(listed, counted)  # kept mappings have no size of their own
        self.assertEqual(self.figure(document, "total", "mmap", "count"), 1)
        self.assertGreaterEqual(self.figure(document, "total", "mmap"), 5 * 2**20)


class Policy(unittest.TestCase):
    """Values of the policy that can be seen in where a block is put."""

    def usable(self, size, environment=None):
        return int(programs.run(["usable", str(size)], environment).stdout)

    def reused(self, freed, size, environment=None):
        return int(programs.run(["reuse", str(freed), str(size)], environment).stdout)

    def test_dynamic_classes_fit_exactly(self):
        """In some gap between two static classes; each dynamic class in turn."""
        candidates = [5200, 9008, 11008, 14000, 18000, 26000]
        none = {"HAKMEM_MID_DYN1": "0", "HAKMEM_MID_DYN2": "0"}
        gaps = [size for size in candidates if self.usable(size, none) >= size + 256]
        self.assertTrue(gaps, "no candidate lies in a gap")
        for size in gaps:
            for variable in none:
                with self.subTest(variable=variable, size=size):
                    self.assertLess(self.usable(size, {**none, variable: str(size)}), size + 16)

    def test_w_max(self):
        for layer, freed, size in (("MID", 8192, 5000), ("LARGE", 131072, 80000)):
            with self.subTest(layer=layer):
                variable = "HAKMEM_WMAX_" + layer
                cached = {"HAKMEM_CACHE_START": "1M"}  # the very first free
                self.assertLess(self.reused(freed, size, {variable: "1", **cached}), freed)
                self.assertGreaterEqual(self.reused(freed, size, {variable: "2", **cached}), freed)
                self.assertLess(self.reused(freed, size, {variable: "1.2", **cached}), freed)


if __name__ == "__main__":
    programs.main("statistics")
