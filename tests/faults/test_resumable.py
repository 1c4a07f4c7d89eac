"""Resumable uploads that are cut off, with the client that browsers use."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from tests.cutting_proxy import CuttingProxy, cutting
from tests.faults.processes import CERTAIN_SECONDS, Process, comes_true, register, serving, sign_in
from tests.npm import NpmUnavailable
from tests.tus_client import TusClient

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def tus() -> TusClient:
    try:
        return TusClient.installed()
    except NpmUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "sent.bin"
    file.write_bytes(os.urandom(40 * MIB))
    return file


async def token_of(portico: Process) -> str:
    async with portico.client() as client:
        await register(client, "ada@example.org")
        token: str = (await sign_in(client, "ada@example.org")).json()["access_token"]
        return token


async def must_be_stored(portico: Process, token: str, file_id: str, file: Path) -> None:
    async with portico.client() as client:
        headers = {"Authorization": f"Bearer {token}"}
        files = (await client.get("/files/", headers=headers)).json()["items"]
        assert [str(each["id"]) for each in files] == [file_id]
        assert (files[0]["filename"], files[0]["content_type"]) == ("größe.bin", "application/x-thing")
        content = (await client.get(f"/files/{file_id}/content", headers=headers)).content
    assert hashlib.sha256(content).digest() == hashlib.sha256(file.read_bytes()).digest()


def staged(data: Path) -> list[str]:
    return [path.name for path in (data / "files" / "staging").iterdir()]


@pytest.mark.parametrize("chunk_size", [7 * MIB, 100 * MIB])
async def test_an_upload_that_is_cut_off_goes_on_where_it_was(
    data: Path, database: dict[str, str], tus: TusClient, file: Path, chunk_size: int
) -> None:
    async with serving(data, **database) as portico, cutting(portico.port, 5 * MIB, 20 * MIB, 1 * MIB) as proxy:
        token = await token_of(portico)
        endpoint = f"http://127.0.0.1:{proxy.listening_on}/api/v1/files/resumable"
        file_id, happened = await tus.upload(endpoint, token, file, chunk_size=chunk_size)
        await must_be_stored(portico, token, file_id, file)

        assert proxy.cut == 3
        assert "HEAD 200" in happened
        assert proxy.passed < 60 * MIB, "it began anew"
        await comes_true(lambda: nothing_is_staged(data), CERTAIN_SECONDS)


async def nothing_is_staged(data: Path) -> bool:
    return not staged(data)


async def test_an_upload_survives_a_server_that_is_killed(
    data: Path, database: dict[str, str], tus: TusClient, file: Path
) -> None:
    async with cutting(0) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.listening_on}/api/v1/files/resumable"
        async with serving(data, **database) as portico:
            proxy.port = portico.port
            token = await token_of(portico)
            uploading = asyncio.create_task(tus.upload(endpoint, token, file, chunk_size=2 * MIB))
            await comes_true(lambda: much_has_come(proxy, 20 * MIB), CERTAIN_SECONDS)
            portico.kill()
            await portico.exit_status()
        before = proxy.passed
        async with serving(data, **database) as portico:
            proxy.port = portico.port
            file_id, happened = await uploading
            await must_be_stored(portico, token, file_id, file)

    assert "HEAD 200" in happened
    assert proxy.passed - before < 25 * MIB, "it began anew"


async def much_has_come(proxy: CuttingProxy, bytes_: int) -> bool:
    return proxy.passed >= bytes_
