"""servers.py - servers that the bench puts under load: a fixed amount of work from clients that are
not preloaded. The time is the clients', everything else the server's; its memory is that of its
largest process. In the texts of a server {dir} stands for the fresh directory of the run, {data} for the
folder of prepared inputs, {inputs} for the files that tests/programs shares, {port} for a free port."""
import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from catalogue import INPUTS, Program, generate

START_LIMIT_SECONDS = 20
LOAD_LIMIT_SECONDS = 100
POSTGRES = max(glob.glob("/usr/lib/postgresql/*/bin"), default="/usr/lib/postgresql/bin")


def identity():
    """Who servers run as: some refuse root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}


def own(folder):
    """Gives a folder to the user that servers run as."""
    if identity():
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, "nobody", "nogroup")


class Server(Program):
    """A server: how to start it, to see that it answers, to load it and to stop it."""

    def __init__(self, name, command, ready, loads, stop=signal.SIGTERM, also_needs=(), environment=None):
        super().__init__(name, command, check_output=False, environment=environment)
        self.ready, self.loads, self.stop = ready, loads, stop
        self.also_needs = also_needs

    def available(self):
        return all(shutil.which(need) for need in [self.needs, *self.also_needs])

    def set_up(self, folder, values):
        """Puts what a run needs into its folder."""

    def library(self, allocator):
        """What is preloaded for the allocator."""
        return allocator.library

    def run(self, launch, allocator):
        with tempfile.TemporaryDirectory(prefix="hakmem-bench-") as name, socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            folder = Path(name)
            values = {"dir": name, "data": str(launch.data), "inputs": str(INPUTS), "port": free.getsockname()[1]}
            free.close()
            self.set_up(folder, values)
            own(folder)
            environment = {key: text.format(**values) for key, text in self.environment.items()}
            client = Client(values, {**os.environ, **environment, "LC_ALL": "C"})

            def work(launcher):
                client.wait_ready(self.ready, launcher)
                for load in self.loads:
                    client.load(load)
                client.stop(self.stop, launcher)

            figures, output = launch([word.format(**values) for word in self.command], self.library(allocator), environment,
                                     False, meanwhile=work, identity=identity())
        return {**figures, "wall": client.seconds}, output


class Client:
    """What loads a server; counts the seconds of the loads."""

    def __init__(self, values, environment):
        self.values, self.environment = values, environment
        self.seconds = 0.0

    def call(self, command, seconds):
        return subprocess.run([word.format(**self.values) for word in command], env=self.environment, cwd=self.values["dir"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds)

    def wait_ready(self, command, launcher):
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while self.call(command, START_LIMIT_SECONDS).returncode != 0:
            if launcher.poll() is not None or time.monotonic() > deadline:
                raise subprocess.CalledProcessError(1, command, "the server does not answer")
            time.sleep(0.02)

    def load(self, command):
        start = time.monotonic()
        self.call(command, LOAD_LIMIT_SECONDS).check_returncode()
        self.seconds += time.monotonic() - start

    def stop(self, signal_number, launcher):
        """Sends the signal to the server, which is the launcher's only child."""
        for child in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
            os.kill(int(child), signal_number)


class Redis(Server):
    def library(self, allocator):
        # Debian's redis-server is linked with jemalloc: to measure the C library's malloc, it must be put before.
        return allocator.library or next(iter(glob.glob("/lib/*-linux-gnu/libc.so.6")), "")


class Nginx(Server):
    def prepare(self, data):
        if not (data / "large.html").exists():
            generate.web_pages(data)

    def set_up(self, folder, values):
        # The pages are copied: the server's user may not be allowed to read where the bench lies.
        for name in ["small.html", "large.html"]:
            shutil.copy(Path(values["data"]) / name, folder)
        (folder / "nginx.conf").write_text((INPUTS / "nginx.conf").read_text().format(**values, made=folder))


class Postgres(Server):
    """PostgreSQL on a copy of a fresh database."""

    def prepare(self, data):
        database = data / "postgres"
        if database.exists():
            return
        with tempfile.TemporaryDirectory(prefix="hakmem-bench-") as name:
            own(Path(name))
            subprocess.run([f"{POSTGRES}/initdb", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8", "-D", f"{name}/data"],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=name, **identity())
            unfinished = data / "postgres.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(f"{name}/data", unfinished)
            unfinished.rename(database)

    def set_up(self, folder, values):
        shutil.copytree(Path(values["data"]) / "postgres", folder / "database")


def servers():
    redis = ["-s", "{dir}/socket"]
    page = "http://127.0.0.1:{port}"
    ab = ["ab", "-q", "-k", "-c", "32"]
    return [
        Redis("redis", ["redis-server", "--port", "0", "--unixsocket", "{dir}/socket", "--dir", "{dir}", "--save", "",
                        "--appendonly", "no"],
              ready=["redis-cli", "-e", *redis, "ping"], also_needs=["redis-cli", "redis-benchmark"],
              loads=[["redis-benchmark", *redis, "-n", "150000", "-P", "16", "-c", "20", "-d", "200", "-r", "100000", "-q",
                      "-t", "set,get,incr,lpush,lpop,sadd,hset,zadd"]]),
        Server("memcached", ["memcached", "-l", "127.0.0.1", "-p", "{port}", "-t", "2", "-m", "512"],
               ready=["memcping", "--servers=127.0.0.1:{port}"], also_needs=["memcping", "memcaslap"],
               loads=[["memcaslap", "-s", "127.0.0.1:{port}", "-T", "2", "-c", "64", "-x", "150000", "-F",
                       "{inputs}/memcaslap.cnf", "-d", "10"]]),
        Nginx("nginx", ["nginx", "-e", "stderr", "-c", "{dir}/nginx.conf"], stop=signal.SIGQUIT,
              ready=["curl", "-fsS", page + "/small.html"], also_needs=["ab", "curl"],
              loads=[[*ab, "-n", "30000", page + "/small.html"],
                     [*ab, "-n", "1500", "-H", "Accept-Encoding: gzip", page + "/proxied/large.html"]]),
        Postgres("postgresql", [f"{POSTGRES}/postgres", "-D", "{dir}/database", "-c", "listen_addresses=", "-c", "fsync=off",
                                "-c", "unix_socket_directories={dir}"], stop=signal.SIGINT,
                 ready=[f"{POSTGRES}/pg_isready"], also_needs=[f"{POSTGRES}/pgbench"],
                 environment={"PGHOST": "{dir}", "PGUSER": "postgres", "PGDATABASE": "postgres"},
                 loads=[[f"{POSTGRES}/pgbench", "--initialize", "--quiet", "--scale=2"],
                        [f"{POSTGRES}/pgbench", "--no-vacuum", "--client=8", "--jobs=2", "--transactions=1000",
                         "--protocol=prepared", "--random-seed=1"]]),
    ]
