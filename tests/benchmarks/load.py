"""Load on a server: `wrk` for much of it, httpx2 for what is to be timed one by one."""

import re
import shutil
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import Any, Final

import httpx2

from tests.benchmarks.servers import Server

PASSWORD: Final = "Correct-Horse-42"
UNITS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
"""Milliseconds."""
POST: Final = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[{}]]
"""


class WrkUnavailable(Exception):
    """Says how to get it."""


class LoadFailed(Exception):
    """Some answers were no 200, or none at all."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load. Times in milliseconds."""

    per_second: float
    cpu_us: float
    """CPU time of the server for each request, in microseconds."""
    p50: float
    p99: float
    longest: float


def wrk(
    server: Server,
    token: str,
    *,
    connections: int,
    seconds: int,
    path: str = "/api/v1/users/me",
    posted: str | None = None,
) -> Load:
    """As many requests as come through on so many connections: GET, or POST if there is JSON to be `posted`.

    Raises `WrkUnavailable` or `LoadFailed`.
    """
    program = shutil.which("wrk")
    if program is None:
        raise WrkUnavailable("wrk is not on this machine: apt-get install wrk")
    command = [program, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--latency", "--timeout", "5s", "--header", f"Authorization: Bearer {token}"]
    with NamedTemporaryFile("w", suffix=".lua") as script:
        if posted is not None:
            script.write(POST.format(posted))
            script.flush()
            command += ["--script", script.name]
        before = server.cpu_seconds()
        output = subprocess.run(
            [*command, server.url + path], capture_output=True, text=True, timeout=seconds + 30, check=True
        ).stdout
        used = server.cpu_seconds() - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise LoadFailed(output)
    requests = int(_found(r"(\d+) requests in", output))
    return Load(
        per_second=float(_found(r"Requests/sec:\s+([\d.]+)", output)),
        cpu_us=used / requests * 1_000_000,
        p50=_milliseconds(_found(r"50%\s+([\d.]+\w+)", output)),
        p99=_milliseconds(_found(r"99%\s+([\d.]+\w+)", output)),
        longest=_milliseconds(_found(r"Latency\s+\S+\s+\S+\s+([\d.]+\w+)", output)),
    )


def _found(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise LoadFailed(output)
    return found[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    """Speaks to the API."""
    async with httpx2.AsyncClient(base_url=f"{server.url}/api/v1", timeout=30) as http:
        yield http


async def register(server: Server, email: str) -> str:
    """Open an account and sign in. The access token."""
    async with client(server) as http:
        (await http.post("/users/", json={"email": email, "full_name": "Ada", "password": PASSWORD})).raise_for_status()
        answer = await http.post("/auth/login", json={"email": email, "password": PASSWORD})
        answer.raise_for_status()
        token: str = answer.json()["access_token"]
        return token


async def timed(action: Callable[[], Awaitable[Any]]) -> float:
    """How long it takes, in milliseconds."""
    started = time.perf_counter()
    await action()
    return (time.perf_counter() - started) * 1000


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of what the first is to the second of each pair. Each pair was measured at nearly one time, so what
    else the machine does meanwhile falls out."""
    return statistics.median(first / second for first, second in pairs)
