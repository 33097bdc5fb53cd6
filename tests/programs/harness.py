"""Runs one program twice, on the system's malloc and on the library under test, and compares what comes out.

A program is described by a Command or a Server (the table is in `run`). In their texts `{dir}` stands for the fresh
directory of the run (also its working directory), `{made}` for the directory of prepared inputs, `{inputs}` for a copy of the
files kept beside this script (a server runs as another user, who need not be let into the source tree), `{port}` for a free port. The library is preloaded into the program under test only,
not into what prepares or loads it. Every program runs as a child of this process, which kills all it left behind.
"""
import contextlib
import ctypes
import dataclasses
import difflib
import glob
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

INPUTS = pathlib.Path(__file__).resolve().parent / "inputs"
PATIENCE = float(os.environ.get("TEST_PATIENCE", 10))
TIME_LIMIT_S = 60 * PATIENCE   # for one command, and for one load of a server: what takes longer hangs
START_LIMIT_S = 10 * PATIENCE  # until a server answers, and until it has stopped
PR_SET_CHILD_SUBREAPER = 36


class Failure(Exception):
    """Why a program failed, in words; further lines are details."""


@dataclasses.dataclass
class Command:
    """A program that runs to its end. All steps must exit with 0 and print the same on both allocators."""
    name: str
    needs: list                                # executables, or paths (patterns allowed) that must exist
    steps: list                                # commands: lists of texts
    quick: bool = False                        # part of --quick
    prepare: object = None                     # function(made): makes inputs
    prepare_steps: list = dataclasses.field(default_factory=list)  # commands that make inputs, run in {made}
    copies: list = dataclasses.field(default_factory=list)         # what is copied from {made} into {dir} for each run
    templates: list = dataclasses.field(default_factory=list)      # texts of {inputs} that are filled in and put into {dir}
    files: list = dataclasses.field(default_factory=list)          # patterns of output files, which must be the same
    environment: dict = dataclasses.field(default_factory=dict)
    only: str = ""                             # compare only what matches in stdout, in sorted order


@dataclasses.dataclass
class Load:
    """A command run against a server, not preloaded. It must exit with 0."""
    argv: list
    require: str = ""                          # pattern that its output must contain
    forbid: str = ""                           # pattern that its output must not contain
    same: bool = False                         # it must print the same on both allocators
    rate: str = ""                             # pattern whose group is a rate: used instead of the time taken


@dataclasses.dataclass
class Server(Command):
    """A program that serves until it is told to stop. Its only step is the server's command, in the foreground.

    It runs as user nobody when this script is run by root. It must be ready in time, survive all loads, print nothing
    on stderr that matches `forbid`, and exit with 0 when `stop` is sent.
    """
    ready: list = dataclasses.field(default_factory=list)          # command that exits with 0 when it answers
    loads: list = dataclasses.field(default_factory=list)
    forbid: str = ""
    stop: int = signal.SIGTERM


@dataclasses.dataclass
class Result:
    seconds: float = 0.0
    peak_kib: int = 0                          # of the largest process
    stdout: str = ""
    digests: dict = dataclasses.field(default_factory=dict)        # output file -> SHA-256


# ---- Processes -------------------------------------------------------------------------------


def adopt_orphans():
    """Makes daemons and orphans of the programs children of this process, so that they can be found and killed."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(process):
    found = []
    for path in glob.glob(f"/proc/{process}/task/*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, pathlib.Path(path).read_text().split()):
                found += [child] + descendants(child)
    return found


def kill_descendants():
    """Kills and reaps until no process below this one is left."""
    while processes := descendants(os.getpid()):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def peak_kib(process):
    """The largest resident memory that the process has had, 0 if it is gone."""
    with contextlib.suppress(OSError):
        match = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process}/status").read_text())
        return int(match[1]) if match else 0
    return 0


class PeakWatch(threading.Thread):
    """Follows the largest process below a server, ten times a second; a peak itself is never missed while it lives."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.kib, self.stopped = process, 0, threading.Event()

    def run(self):
        while True:
            self.kib = max([self.kib] + [peak_kib(p) for p in [self.process] + descendants(self.process)])
            if self.stopped.wait(0.1):
                return

    def finish(self):
        self.stopped.set()
        self.join()
        return self.kib


def tail(text, lines=15):
    return "".join(f"\n    | {line[:200]}" for line in text.splitlines()[-lines:])


def ending(status):
    """An exit status in words. GNU time and shells give 128 + n for a process killed by signal n."""
    number = -status if status < 0 else status - 128
    if number > 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(number).name}"
    return f"exited with {status}"


# ---- One run ---------------------------------------------------------------------------------


class Run:
    """The run of a program on one allocator in a fresh directory."""

    def __init__(self, program, work, directory, library):
        self.program, self.directory, self.library = program, directory, library
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.values = {"dir": str(directory), "made": str(work / "made"), "inputs": str(work / "inputs"),
                           "port": free.getsockname()[1]}
        self.identity = {}
        if isinstance(program, Server) and os.getuid() == 0:
            self.identity = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        self.environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(directory), "TMPDIR": str(directory), "LC_ALL": "C.UTF-8",
                            "TZ": "UTC"}
        self.environment.update(zip(program.environment, self.filled(program.environment.values())))
        self.log = directory / "stderr.log"
        self.statistics = directory / "statistics"
        self.is_hakmem = library is not None and library.name.startswith("libhakmem")

    def filled(self, texts):
        return [text.format(**self.values) for text in texts]

    def preloaded(self):
        if self.library is None:
            return self.environment
        environment = {**self.environment, "LD_PRELOAD": str(self.library)}
        if self.is_hakmem:
            environment.update({name: value for name, value in os.environ.items() if name.startswith("HAKMEM_")})
            environment.update({"HAKMEM_STATS": "json", "HAKMEM_STATS_FILE": f"{self.statistics}/%p"})
        return environment

    def own(self):
        """Gives the run's directory to the user that a server runs as."""
        if self.identity:
            for path in [self.directory, *self.directory.rglob("*")]:
                shutil.chown(path, self.identity["user"], self.identity["group"])

    def call(self, argv, limit=TIME_LIMIT_S):
        """Runs a command that is not under test. Result: its status and its output."""
        try:
            done = subprocess.run(argv, cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, text=True, check=False,
                                  errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit, **self.identity)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"`{' '.join(argv)}` took more than {limit} s{tail(self.complaints())}") from late
        return done.returncode, done.stdout

    def complaints(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def go(self):
        self.statistics.mkdir(parents=True)
        self.log.touch()
        for name in self.program.copies:
            source = pathlib.Path(self.values["made"]) / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.directory / name)
        for name in self.program.templates:
            (self.directory / name).write_text((INPUTS / name).read_text().format(**self.values))
        self.own()
        result = self.serve() if isinstance(self.program, Server) else self.run_steps()
        for pattern in self.program.files:
            paths = sorted(self.directory.glob(pattern))
            if not paths:
                raise Failure(f"wrote no file {pattern}")
            for path in paths:
                result.digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        self.check_stderr(r"^hakmem:|cannot be preloaded")
        if self.is_hakmem and not self.was_used():
            raise Failure("did not use the library: no process reported blocks made by it")
        return result

    def check_stderr(self, pattern):
        match = re.search(f"^.*(?:{pattern}).*$", self.complaints(), re.MULTILINE)
        if match:
            raise Failure(f"wrote on stderr: {match[0]}{tail(self.complaints())}")

    def was_used(self):
        """Every process writes the library's statistics when it exits; one with an allocator of its own made no slab."""
        for path in self.statistics.iterdir():
            try:
                if json.loads(path.read_text())["tiny"]["refills"] > 0:
                    return True
            except (ValueError, KeyError) as error:
                raise Failure(f"wrote broken statistics ({error!r}){tail(path.read_text())}") from error
        return False

    def run_steps(self):
        result, figures = Result(), self.directory / "peak"
        for step in self.program.steps:
            argv = self.filled(step)
            measured = ["time", "--quiet", "--format=%M", f"--output={figures}", "env"]
            measured += [f"{name}={value}" for name, value in self.preloaded().items()] + argv
            begin = time.monotonic()
            with open(self.log, "ab") as log:
                try:
                    done = subprocess.run(measured, cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
                                          stdout=subprocess.PIPE, stderr=log, timeout=TIME_LIMIT_S, check=False)
                except subprocess.TimeoutExpired as late:
                    raise Failure(f"`{' '.join(argv)}` took more than {TIME_LIMIT_S} s{tail(self.complaints())}") from late
            result.seconds += time.monotonic() - begin
            output = done.stdout.decode(errors="replace")
            if done.returncode:
                raise Failure(f"`{' '.join(argv)}` {ending(done.returncode)}{tail(self.complaints() or output)}")
            result.stdout += output
            result.peak_kib = max(result.peak_kib, int(figures.read_text().split()[-1]))
        if self.program.only:
            matches = sorted(match[0] for match in re.finditer(self.program.only, result.stdout, re.MULTILINE))
            if not matches:
                raise Failure(f"printed nothing that matches {self.program.only}{tail(result.stdout)}")
            result.stdout = "\n".join(matches)
        return result

    def serve(self):
        result, argv = Result(), self.filled(self.program.steps[0])
        with open(self.log, "ab") as log:
            server = subprocess.Popen(argv, cwd=self.directory, env=self.preloaded(), stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=log, **self.identity)
        self.wait_ready(server)
        watch = PeakWatch(server.pid)
        watch.start()
        try:
            for load in self.program.loads:
                self.put_load(load, result, server)
        finally:
            result.peak_kib = watch.finish()
        server.send_signal(self.program.stop)
        try:
            status = server.wait(START_LIMIT_S)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"did not stop within {START_LIMIT_S} s{tail(self.complaints())}") from late
        if status:
            raise Failure(f"{ending(status)} when stopped{tail(self.complaints())}")
        if self.program.forbid:
            self.check_stderr(self.program.forbid)
        return result

    def wait_ready(self, server):
        deadline = time.monotonic() + START_LIMIT_S
        while self.call(self.filled(self.program.ready), START_LIMIT_S)[0]:
            if server.poll() is not None:
                raise Failure(f"{ending(server.returncode)} at start{tail(self.complaints())}")
            if time.monotonic() > deadline:
                raise Failure(f"did not answer within {START_LIMIT_S} s{tail(self.complaints())}")
            time.sleep(0.05)

    def put_load(self, load, result, server):
        argv = self.filled(load.argv)
        begin = time.monotonic()
        status, output = self.call(argv)
        seconds = time.monotonic() - begin
        if server.poll() is not None:
            raise Failure(f"{ending(server.returncode)} under `{' '.join(argv)}`{tail(self.complaints())}")
        if status:
            raise Failure(f"load `{' '.join(argv)}` {ending(status)}{tail(output)}{tail(self.complaints())}")
        if load.forbid and (match := re.search(load.forbid, output)):
            raise Failure(f"load `{' '.join(argv)}` reported: {match[0]}{tail(output)}{tail(self.complaints())}")
        if load.require and not re.search(load.require, output):
            raise Failure(f"load `{' '.join(argv)}` did not report {load.require}{tail(output)}{tail(self.complaints())}")
        if load.same:
            result.stdout += output
        if load.rate:
            seconds = 1e6 / float(re.search(load.rate, output)[1])  # time of a million requests
        result.seconds += seconds


# ---- Both runs -------------------------------------------------------------------------------


def missing(program):
    """The first thing that the program needs and that is not there, or None."""
    return next((need for need in program.needs if not (glob.glob(need) if "/" in need else shutil.which(need))), None)


def compare(system, ours):
    if ours.stdout != system.stdout:
        difference = difflib.unified_diff(system.stdout.splitlines(), ours.stdout.splitlines(), "system", "ours", lineterm="", n=0)
        raise Failure("printed something else than on the system's malloc" + tail("\n".join(list(difference)[:12])))
    for name in sorted(system.digests.keys() | ours.digests.keys()):
        if system.digests.get(name) != ours.digests.get(name):
            raise Failure(f"wrote another {name} than on the system's malloc")


def anybody_may_enter(directory):
    return all(part.stat().st_mode & 0o1 for part in [directory, *directory.parents])


def temporary_root():
    """Where any user may enter, and whose name the dynamic linker accepts in LD_PRELOAD."""
    places = [pathlib.Path(name).resolve() for name in (tempfile.gettempdir(), "/tmp", "/var/tmp")]
    return next((place for place in places if anybody_may_enter(place) and not re.search(r"[\s:]", str(place))), None)


def copy_for_anybody(source, target):
    """Copies a file, or a folder of files, so that any user may read it; the umask is 022."""
    if source.is_dir():
        target.mkdir()
        for path in source.iterdir():
            copy_for_anybody(path, target / path.name)
    else:
        shutil.copyfile(source, target)


def prepare(program, work):
    made = work / "made"
    made.mkdir()
    if program.prepare:
        program.prepare(made)
    run = Run(program, work, made, None)
    run.environment = dict(os.environ)
    run.own()
    for step in program.prepare_steps:
        status, output = run.call(run.filled(step))
        if status:
            raise Failure(f"preparing: `{' '.join(run.filled(step))}` {ending(status)}{tail(output)}")


def check(program, library):
    """Runs the program on both allocators. Result: both Results. Raises Failure."""
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="hakmem-", dir=temporary_root()) as name:
        work = pathlib.Path(name)
        work.chmod(0o755)
        copied = work / library.name
        copy_for_anybody(library, copied)
        copy_for_anybody(INPUTS, work / "inputs")
        try:
            prepare(program, work)
            results = []
            for label, preload in (("on the system's malloc: ", None), ("", copied)):
                try:
                    results.append(Run(program, work, work / "run", preload).go())
                except Failure as failure:
                    raise Failure(label + str(failure)) from failure
                finally:
                    kill_descendants()
                shutil.rmtree(work / "run")
            compare(*results)
            return results
        finally:
            kill_descendants()
