"""Real server processes: Portico as its users start it, and its twins."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.deployment import hide_tools
from tests.postgres_server import PostgresServer

SECRET_KEY: Final = "a-key-that-only-the-benchmarks-use"
PORTS: Final = range(20000, 32000)
"""Below those that outgoing connections take."""
DEADLINE: Final = 30.0
"""Seconds within which a server must answer, and be gone once it was told to stop."""
LOOK_EVERY: Final = 0.002
"""Seconds between two looks whether a server that starts answers yet."""
TICKS: Final = os.sysconf("SC_CLK_TCK")
PROJECT: Final = Path(__file__).parents[2]


class ServerFailed(Exception):
    """A server didn't start or didn't stop; with its last words."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers, on a port of its own."""

    process: subprocess.Popen[bytes]
    port: int
    start_seconds: float
    """From starting the process to its first answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """What all threads of the process have used so far, in user and system mode."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, what: str = "VmRSS") -> float:
        """What is resident now in MB; `VmHWM` is the most that ever was."""
        line = next(line for line in self._proc("status").splitlines() if line.startswith(f"{what}:"))
        return int(line.split()[1]) / 1024

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text("utf-8")


@contextmanager
def portico(folder: Path, path: str = "/health/ready", **settings: str) -> Iterator[Server]:
    """`portico serve` with its data and its log in `folder`; `path` is what it is asked until it answers."""
    environment = {
        "DATA_DIR": str(folder),
        "SECRET_KEY": SECRET_KEY,
        "MAIL_BACKEND": "file",
        "LOG_FORMAT": "json",
        "PUBLIC_URL": "http://localhost:8000",
        **settings,
    }
    command = [str(Path(sys.executable).with_name("portico")), "serve", "--port", "{port}"]
    with _running(command, environment, folder, path) as server:
        yield server


def migrate(folder: Path, database_url: str) -> None:
    """`portico migrate`, as one does it once for a PostgreSQL."""
    subprocess.run(
        [str(Path(sys.executable).with_name("portico")), "migrate"],
        env=_clean({"PYTHONPATH": str(PROJECT), "DATA_DIR": str(folder), "DATABASE_URL": database_url}),
        cwd=folder,
        timeout=DEADLINE,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def new_database(folder: Path, postgres: PostgresServer, name: str) -> str:
    """The URL of a new database that is up to date."""
    postgres.create_database(name)
    migrate(folder, postgres.url(name))
    return postgres.url(name)


@contextmanager
def twin(name: str, folder: Path, *, websockets: bool = False, **settings: str) -> Iterator[Server]:
    """A module of `tests.benchmarks.twins`, on the same server with the same protocol and loop as Portico."""
    command = [sys.executable, "-m", "uvicorn", f"tests.benchmarks.twins.{name}:app", "--port", "{port}"]
    protocol = "websockets-sansio" if websockets else "none"
    command += ["--http", "httptools", "--ws", protocol, "--no-access-log", "--log-level", "warning"]
    command += ["--ws-per-message-deflate", "false"]
    environment = {"SECRET_KEY": SECRET_KEY, **settings}
    with _running(command, environment, folder, "/health") as server:
        yield server


@contextmanager
def _running(command: list[str], environment: Mapping[str, str], folder: Path, path: str) -> Iterator[Server]:
    """Both see the same packages. A twin finds itself in the project; for Portico, that is where it is installed."""
    hide_tools(folder)
    paths = os.pathsep.join((str(folder), str(PROJECT)))
    port = _free_port()
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            env=_clean({"PYTHONPATH": paths, **environment}),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for_answer(process, port, path, log)
        yield Server(process, port, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(DEADLINE)


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    """Ask for the path until the answer is 200."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            connection.request("GET", path)
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                return
        time.sleep(LOOK_EVERY)
    raise ServerFailed(log.read_text("utf-8", "replace")[-2000:])


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours but what a program needs to run: a setting left in the shell would be measured, too."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"}}
    return {**kept, **environment}


def _free_port() -> int:
    for port in random.sample(PORTS, 100):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise ServerFailed("no free port")
