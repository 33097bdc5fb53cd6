"""measuring.py - what the benches share: compiling their C sources, running a command under
launch.c, the order of runs, and saying how far they are."""
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
TIMEOUT_SECONDS = 120
COMPILE = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-pthread"]


def compile_all(jobs):
    """Compiles each (source, target, flags) whose target is older than the source or a header
    beside any of the sources or the workloads."""
    folders = {source.parent for source, _, _ in jobs} | {BENCH / "workloads"}
    headers = max(header.stat().st_mtime for folder in folders for header in folder.glob("*.h"))
    for source, target, flags in jobs:
        if not target.exists() or target.stat().st_mtime < max(source.stat().st_mtime, headers):
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([*COMPILE, *flags, "-o", str(target), str(source)], check=True)


def build_launcher(folder):
    """Compiles launch.c into the folder: its path. Static, so that the launcher stays smaller than
    anything it launches."""
    compile_all([(BENCH / "launch.c", folder / "launch", ["-static"])])
    return folder / "launch"


class Failed(Exception):
    """A program that did not end well on an allocator."""


class Launcher:
    """Runs commands under bench/launch."""

    def __init__(self, binary, data):
        self.binary = str(binary)
        self.data = data

    def __call__(self, command, library, environment, check_output, meanwhile=None, identity=None):
        """Runs the command with the library preloaded: (figures, standard output). `meanwhile` is
        called with the launcher's process while it runs, and must make the command end. `identity`
        says who it runs as, as subprocess.Popen takes it."""
        fixed = {"LC_ALL": "C", "PYTHONHASHSEED": "0", "PERL_HASH_SEED": "0", "GIT_PAGER": "cat"}
        with tempfile.TemporaryDirectory() as folder, open(folder + "/stdout", "w+b") as output, \
                open(folder + "/stderr", "w+b") as errors:
            figures_file, binary, directory = Path(folder) / "figures", self.binary, self.data
            if identity:
                # Another user may not be allowed to look where these lie.
                shutil.chown(folder, identity["user"])
                binary, library = (shutil.copy(file, folder) if file else "" for file in (binary, library))
                directory = folder
            process = subprocess.Popen(
                [binary, str(figures_file), library, *command], cwd=directory, start_new_session=True,
                env={**os.environ, **fixed, **environment}, stdin=subprocess.DEVNULL,
                stdout=output if check_output else subprocess.DEVNULL, stderr=errors, **(identity or {}))
            try:
                if meanwhile is not None:
                    meanwhile(process)
                process.wait(TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                raise Failed(f"took more than {TIMEOUT_SECONDS} s") from None
            except subprocess.CalledProcessError as error:
                raise Failed(f"its client failed: {error}") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            errors.seek(0)
            complaint = errors.read().decode(errors="replace").strip()
            # A library that cannot be loaded is silently left out by the loader.
            if process.returncode != 0 or "ERROR: ld.so" in complaint:
                lines = complaint.splitlines() or [f"exit status {process.returncode}"]
                raise Failed("; ".join(lines[-2:])[:200])
            output.seek(0)
            measured = json.loads(figures_file.read_text())
            if rate := re.search(r"^calls per second: (\d+)$", complaint, re.M):
                measured["rate"] = int(rate[1])
            return measured, output.read()


class Progress:
    """One line on standard error that says how far the bench is."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.start = time.monotonic()
        self.shown = sys.stderr.isatty()

    def step(self, text):
        self.done += 1
        elapsed = time.monotonic() - self.start
        left = elapsed / self.done * (self.total - self.done)
        line = f"[{self.done}/{self.total}] {text}, about {left // 60:.0f} min {left % 60:.0f} s left"
        if self.shown:
            sys.stderr.write("\r\033[K" + line[:100])
            sys.stderr.flush()
        elif self.done % 50 == 0:
            print(line, file=sys.stderr, flush=True)

    def end(self):
        if self.shown:
            sys.stderr.write("\r\033[K")


def schedule(programs, allocators, runs):
    """Every program on every allocator, `runs` times, in an order that rotates."""
    for round_number in range(runs):
        for place, program in enumerate(programs):
            first = (round_number + place) % len(allocators)
            for allocator in allocators[first:] + allocators[:first]:
                yield program, allocator


def machine():
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} processors, Linux {platform.release()}"
