"""Uploads that come to a bad end: no file without its bytes, and no bytes that are never collected."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

import pytest
from dependency_injector.providers import Object

from application.collecting import STAGED_GRACE
from domain.pages import PageRequest
from entrypoints.container import Container
from entrypoints.settings import Settings
from tests.builders import a_job, a_user
from tests.fakes import SettableClock
from tests.faults.dying_upload import CONTENT
from tests.faults.processes import (
    CERTAIN_SECONDS,
    COMMAND_SECONDS,
    HAS_PROC,
    Process,
    comes_true,
    register,
    serving,
    serving_patiently,
    sign_in,
)

ADA: Final = "ada@example.org"
HEAD: Final = b'--line\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END: Final = b"\r\n--line--\r\n"
MEBIBYTE: Final = 1024 * 1024


def on_disk(data: Path) -> dict[str, int]:
    """What lies in the store: names and sizes."""
    sizes = {}
    for path in (data / "files").rglob("*"):
        with suppress(FileNotFoundError):  # it has just got another name
            if S_ISREG((status := path.stat()).st_mode):
                sizes[path.name] = status.st_size
    return sizes


async def signed_in(portico: Process) -> dict[str, str]:
    async with portico.client() as client:
        await register(client, ADA)
        return {"Authorization": f"Bearer {(await sign_in(client, ADA)).json()['access_token']}"}


def request(headers: dict[str, str], length: int) -> bytes:
    """The head of an upload of so many bytes."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += ["Host: a", "Content-Type: multipart/form-data; boundary=line", f"Content-Length: {length}"]
    return "\r\n".join(["POST /api/v1/files/upload HTTP/1.1", *lines]).encode() + b"\r\n\r\n"


class TestKilled:
    """In one process after the other, at one step after the other, until one gets to the end."""

    async def test_at_whichever_step_an_upload_is_killed_no_file_lacks_its_bytes_and_the_orphan_goes(
        self, database: dict[str, str], data: Path
    ) -> None:
        settings: dict[str, Any] = {
            "data_dir": str(data),
            "environment": "test",
            "database_url": database.get("DATABASE_URL", f"sqlite:///{data / 'portico.db'}"),
        }
        data.mkdir(exist_ok=True)
        clock = SettableClock(datetime.now(UTC))
        container: Any = Container(settings=Settings(**settings, _env_file=None))
        container.clock.override(Object(clock))
        await container.database().open()
        try:
            async with container.begin()() as work:
                user = await work.users.add(a_user())
            step, status = 0, -signal.SIGKILL
            while status == -signal.SIGKILL:
                step += 1
                status = await _upload_that_dies(settings, user.id, step)
                await self.nothing_is_half_there(container, user.id, data, clock)
        finally:
            await container.database().close()
        assert status == 0
        assert step > 12

    async def nothing_is_half_there(self, container: Any, user_id: int, data: Path, clock: SettableClock) -> None:
        """Whatever was stored is whole; after the grace time nothing else is left, and all can be deleted."""
        files = (await container.reads().files(user_id, PageRequest())).items
        for file in files:
            assert on_disk(data)[file.sha256] == file.size == len(CONTENT)
        clock.moment = datetime.now(UTC) + STAGED_GRACE + timedelta(hours=1)
        await container.job_handlers()["sweep_blobs"](a_job())
        assert on_disk(data) == {file.sha256: file.size for file in files}
        for file in files:
            async with container.begin()() as work:
                await work.files.delete(file.id)
        await container.job_handlers()["sweep_blobs"](a_job())
        assert on_disk(data) == {}
        clock.moment = datetime.now(UTC)


async def _upload_that_dies(settings: dict[str, Any], user_id: int, step: int) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.dying_upload", json.dumps(settings), str(user_id), str(step)),
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    async with asyncio.timeout(COMMAND_SECONDS):
        return await process.wait()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_a_dead_process_had_staged_is_swept_unasked_once_its_grace_is_over(
    database: dict[str, str], data: Path
) -> None:
    old, young = (data / "files" / "staging" / (letter * 32) for letter in "ab")
    old.parent.mkdir(parents=True)
    for path, age in ((old, STAGED_GRACE + timedelta(minutes=1)), (young, STAGED_GRACE - timedelta(minutes=10))):
        path.write_bytes(CONTENT)
        begun = (datetime.now(UTC) - age).timestamp()
        os.utime(path, (begun, begun))
    async with serving(data, **database):

        async def only_the_young_one_is_left() -> bool:
            return on_disk(data) == {young.name: len(CONTENT)}

        await comes_true(only_the_young_one_is_left, CERTAIN_SECONDS)


async def test_a_client_that_goes_away_leaves_nothing_behind(database: dict[str, str], data: Path) -> None:
    async with serving(data, **database) as portico:
        headers = await signed_in(portico)
        reader, writer = await asyncio.open_connection("127.0.0.1", portico.port)
        with closing(writer):
            writer.write(request(headers, 100 * MEBIBYTE) + HEAD + bytes(8 * MEBIBYTE))
            await writer.drain()

            async def is_under_way() -> bool:
                return bool(on_disk(data))

            await comes_true(is_under_way, CERTAIN_SECONDS)
            writer.transport.abort()
        del reader

        async def is_gone() -> bool:
            return not on_disk(data)

        await comes_true(is_gone, CERTAIN_SECONDS)
        async with portico.client() as client:
            assert (await client.get("/files/", headers=headers)).json()["total"] == 0
        assert "Traceback" not in portico.errors


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_what_says_that_it_is_too_large_is_refused_before_it_is_read(
    database: dict[str, str], data: Path
) -> None:
    async with serving(data, **database) as portico:
        headers = await signed_in(portico)
        for more in ({}, {"Expect": "100-continue"}):
            reader, writer = await asyncio.open_connection("127.0.0.1", portico.port)
            with closing(writer):
                writer.write(request(headers | more, 2 * 1024 * MEBIBYTE))
                async with asyncio.timeout(CERTAIN_SECONDS):
                    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
                    answer = await reader.readuntil(b"}")
            assert b'"code":"file_too_large"' in answer
        assert on_disk(data) == {}


async def test_of_twenty_uploads_at_once_no_more_are_stored_than_there_is_room_for(
    database: dict[str, str], data: Path
) -> None:
    quota = {"STORAGE_QUOTA_BYTES": str(5 * MEBIBYTE)}
    async with serving_patiently(data, **database, **quota) as portico, portico.client() as client:
        headers = await signed_in(portico)

        async def upload(n: int) -> int:
            files = {"file": (f"{n}", bytes([n]) * MEBIBYTE)}
            return (await client.post("/files/upload", files=files, headers=headers)).status_code

        answers = await asyncio.gather(*(upload(n) for n in range(20)))
        assert sorted(answers) == [201] * 5 + [413] * 15

        async def only_those_are_left() -> bool:
            return list(on_disk(data).values()) == [MEBIBYTE] * 5

        await comes_true(only_those_are_left, CERTAIN_SECONDS)
        assert (await client.get("/files/", headers=headers)).json()["total"] == 5


@pytest.mark.skipif(not HAS_PROC, reason="how much memory a process takes is read from /proc")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_memory_stays_flat_whatever_the_size(database: dict[str, str], data: Path) -> None:
    size = 192 * MEBIBYTE
    piece = os.urandom(MEBIBYTE)

    async def body() -> AsyncIterator[bytes]:
        yield HEAD
        for _ in range(size // len(piece)):
            yield piece
        yield END

    async with serving(data, **database) as portico, portico.client() as client:
        headers = await signed_in(portico) | {"Content-Type": "multipart/form-data; boundary=line"}
        small = await client.post("/files/upload", content=HEAD + b"tea" + END, headers=headers)
        assert small.status_code == 201
        before = _peak_memory(portico)
        response = await client.post("/files/upload", content=body(), headers=headers)
        assert response.status_code == 201, response.text
        file = response.json()
        expected = sha256()
        for _ in range(size // len(piece)):
            expected.update(piece)
        assert (file["size"], file["sha256"]) == (size, expected.hexdigest())
        read = 0
        async with client.stream("GET", f"/files/{file['id']}/content", headers=headers) as content:
            async for chunk in content.aiter_bytes():
                read += len(chunk)
        assert read == size
        assert _peak_memory(portico) - before < 40 * MEBIBYTE


def _peak_memory(process: Process) -> int:
    """Bytes: the most that the process ever had in memory."""
    lines = Path(f"/proc/{process.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
