"""What a large upload takes: time, against a bare app that stores the same; memory; and patience of other requests."""

import asyncio
import contextlib
import http.client
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import median_ratio, register
from tests.benchmarks.servers import Server, portico, twin

MIB: Final = 1024 * 1024
BLOCK: Final = bytes(range(256)) * (MIB // 256)
LARGE: Final = 2048
"""MiB of the upload whose memory is looked at."""
COMPARED: Final = 256
"""MiB of those whose time is."""
TIME_LIMIT: Final = 1 / 0.7
MEMORY_LIMIT: Final = 40.0
PATIENCE_LIMIT: Final = 50.0
LOOK_EVERY: Final = 0.05
"""Seconds between two looks at the memory and at `/health/live`."""
BOUNDARY: Final = "the-boundary"
HEAD: Final = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
TAIL: Final = f"\r\n--{BOUNDARY}--\r\n".encode()


def uploads(folder: Path, *, quick: bool) -> list[Figure]:
    settings = {"MAX_UPLOAD_BYTES": str(4 * 1024**3), "STORAGE_QUOTA_BYTES": str(1024**4)}
    with portico(folder, **settings) as server, twin("upload", folder, DATA_DIR=str(folder)) as bare:
        token = asyncio.run(register(server, "ada@example.org"))
        for each in (server, bare):
            _upload(each, token, 1)
        idle = server.memory()
        with _watched(server) as watched:
            _upload(server, token, LARGE // 8 if quick else LARGE)
        rounds = [_round(server, bare, token, swapped=n % 2 == 1) for n in range(3 if quick else 7)]
    return [
        Figure("Time of an upload, against a bare app that stores the same", median_ratio(rounds), limit=TIME_LIMIT),
        Figure("Memory that an upload of 2 GiB takes", max(watched.memory) - idle, "MB", MEMORY_LIMIT),
        Figure("`/health/live` meanwhile: p99", statistics.quantiles(watched.answers, n=100)[-1], "ms", PATIENCE_LIMIT),
        Figure("`/health/live` meanwhile: the slowest of all", max(watched.answers), "ms"),
    ]


def _round(server: Server, bare: Server, token: str, *, swapped: bool) -> tuple[float, float]:
    if swapped:
        theirs, ours = _upload(bare, token, COMPARED), _upload(server, token, COMPARED)
    else:
        ours, theirs = _upload(server, token, COMPARED), _upload(bare, token, COMPARED)
    return ours, theirs


def _upload(server: Server, token: str, mebibytes: int) -> float:
    """Send so much as a form; the seconds until the answer. No two uploads have the same content."""
    first = HEAD + time.time_ns().to_bytes(8, "big")
    length = len(first) + mebibytes * MIB + len(TAIL)
    head = (
        f"POST /api/v1/files/upload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        started = time.perf_counter()
        connection.sendall(head.encode() + first)
        for _ in range(mebibytes):
            connection.sendall(BLOCK)
        connection.sendall(TAIL)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        took = time.perf_counter() - started
        assert answer.status in (200, 201), answer.read()
    return took


@dataclass(frozen=True)
class _Watched:
    memory: list[float] = field(default_factory=list)
    """MB that were resident at each look."""
    answers: list[float] = field(default_factory=list)
    """Milliseconds that `/health/live` took."""


@contextlib.contextmanager
def _watched(server: Server) -> Iterator[_Watched]:
    """Looks at the server while the block runs."""
    watched, over = _Watched(), threading.Event()

    def look() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        while not over.wait(LOOK_EVERY):
            started = time.perf_counter()
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            watched.answers.append((time.perf_counter() - started) * 1000)
            watched.memory.append(server.memory())
        connection.close()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield watched
    finally:
        over.set()
        looking.join()
