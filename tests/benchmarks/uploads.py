"""An upload of 2 GiB: what it costs in memory and in the patience of others, and what of the disk's speed is left."""

import asyncio
import http.client
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import LoadFailed, median_ratio, register
from tests.benchmarks.servers import Server, portico, twin

MEBIBYTE: Final = 1024 * 1024
LARGE: Final = 2048
SMALL: Final = 256
"""MiB."""
MEMORY_LIMIT: Final = 40.0
LIVE_LIMIT: Final = 50.0
TIME_LIMIT: Final = 1 / 0.7
"""Of the time that the bare app takes: 0.7 of its throughput."""
PAUSE: Final = 0.01
"""Seconds between two looks whether the process is alive."""

HEAD: Final = b'--line\r\nContent-Disposition: form-data; name="file"; filename="large"\r\n\r\n'
END: Final = b"\r\n--line--\r\n"


def uploads(folder: Path, *, quick: bool) -> list[Figure]:
    large = SMALL if quick else LARGE
    settings = {"MAX_UPLOAD_BYTES": str(4 * LARGE * MEBIBYTE)}
    with portico(folder, **settings) as server, twin("raw", folder) as bare:
        headers = {"Authorization": f"Bearer {asyncio.run(register(server, 'ada@example.org'))}"}
        _upload(server, headers, 1)
        memory = server.memory()
        slowest = _slowest_look_during(server, headers, large)
        growth = max(0.0, server.memory("VmHWM") - memory)
        pairs = [(_upload(server, headers, SMALL), _upload_raw(bare, SMALL)) for _ in range(3 if quick else 5)]
    return [
        Figure(f"upload of {large} MiB: growth of the memory", growth, "MB", MEMORY_LIMIT),
        Figure(f"upload of {large} MiB: slowest answer of `/health/live` meanwhile", slowest, "ms", LIVE_LIMIT),
        Figure(
            f"upload of {SMALL} MiB to the disk: time, against a bare ASGI app that hashes and writes the raw stream",
            median_ratio(pairs),
            limit=TIME_LIMIT,
        ),
    ]


def _pieces(mebibytes: int) -> Iterator[bytes]:
    piece = os.urandom(MEBIBYTE)
    for _ in range(mebibytes):
        yield piece


def _form(mebibytes: int) -> Iterator[bytes]:
    yield HEAD
    yield from _pieces(mebibytes)
    yield END


def _upload(server: Server, headers: dict[str, str], mebibytes: int) -> float:
    """Seconds until it is answered. The file is deleted again."""
    length = len(HEAD) + mebibytes * MEBIBYTE + len(END)
    form = {"Content-Type": "multipart/form-data; boundary=line", "Content-Length": str(length)}
    seconds, answer = _post(server, "/api/v1/files/upload", headers | form, _form(mebibytes))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("DELETE", f"/api/v1/files/{json.loads(answer)['id']}", headers=headers)
    connection.getresponse().read()
    connection.close()
    return seconds


def _upload_raw(server: Server, mebibytes: int) -> float:
    return _post(server, "/", {"Content-Length": str(mebibytes * MEBIBYTE)}, _pieces(mebibytes))[0]


def _post(server: Server, path: str, headers: dict[str, str], body: Iterator[bytes]) -> tuple[float, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    started = time.perf_counter()
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    seconds = time.perf_counter() - started
    connection.close()
    if response.status not in (200, 201):
        raise LoadFailed(answer.decode())
    return seconds, answer


def _slowest_look_during(server: Server, headers: dict[str, str], mebibytes: int) -> float:
    """The slowest of many looks at `/health/live` while so much is uploaded, in milliseconds."""
    with ThreadPoolExecutor(1) as thread:
        uploading = thread.submit(_upload, server, headers, mebibytes)
        slowest = _slowest_look_until(server, uploading)
        uploading.result()
    return slowest


def _slowest_look_until(server: Server, end: Future[float]) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    slowest = 0.0
    while not end.done():
        started = time.perf_counter()
        connection.request("GET", "/health/live")
        connection.getresponse().read()
        slowest = max(slowest, (time.perf_counter() - started) * 1000)
        time.sleep(PAUSE)
    connection.close()
    return slowest
