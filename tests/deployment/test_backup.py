"""Backups as the README says: made while people use Portico, and served from after a restore, on each database."""

import asyncio
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.faults.processes import Process, register, serving, sign_in
from tests.postgres_server import find_binaries
from tests.programs import run
from tests.running_app import Mailbox, bearer, eventually

README: Final = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SETTINGS: Final = {"MAIL_BACKEND": "file"}


def commands(program: str) -> tuple[str, str]:
    """How to back up and how to restore: the halves of the block in which this program is used."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if program in block]
    backup, restore = block.split("\n\n")
    return backup, restore


def has_what_it_takes(database: dict[str, str]) -> Path | None:
    """The folder with the programs. Skips where they are missing."""
    found = find_binaries() if database else Path(shutil.which("sqlite3") or "/missing").parent
    if not (found / ("pg_dump" if database else "sqlite3")).exists():
        pytest.skip("no sqlite3 or pg_dump on this machine: `apt-get install sqlite3 postgresql-client`")
    return found


async def registering(portico: Process, acknowledged: list[str], done: asyncio.Event) -> None:
    """Register one account after the other."""
    async with portico.client() as client:
        while not done.is_set():
            address = f"user{len(acknowledged)}@example.org"
            assert (await register(client, address)).status_code == 201
            acknowledged.append(address)


async def test_what_was_acknowledged_before_a_backup_is_there_after_a_restore(
    request: pytest.FixtureRequest, database: dict[str, str], data: Path, tmp_path: Path
) -> None:
    path = f"{has_what_it_takes(database)}{os.pathsep}{os.environ['PATH']}"
    backup, restore = commands("pg_dump" if database else "sqlite3")
    empty = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if database else {}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    acknowledged: list[str] = []
    done = asyncio.Event()

    async with serving(data, **database, **SETTINGS) as portico, portico.client() as client:
        people = asyncio.create_task(registering(portico, acknowledged, done))
        await eventually(lambda: len(acknowledged) >= 20)
        pair = (await sign_in(client, acknowledged[0])).json()
        verification = await Mailbox(data / "mail").token(acknowledged[0])
        before = list(acknowledged)
        await run("bash", "-euc", backup, folder=data.parent, **database, PATH=path)
        done.set()
        await people

    (data.parent / "backup").rename(elsewhere / "backup")
    await run("bash", "-euc", restore, folder=elsewhere, **empty, PATH=path)
    async with serving(elsewhere / "var", **empty, **SETTINGS) as portico, portico.client() as client:
        assert {(await sign_in(client, address)).status_code for address in before} == {200}
        assert (await client.get("/users/me", headers=bearer(pair))).status_code == 200
        assert (await client.post("/auth/verify-email", json={"token": verification})).status_code == 200


async def uploaded(client: httpx2.AsyncClient, content: bytes, headers: dict[str, str]) -> str:
    """The path of a new file."""
    response = await client.post("/files/upload", files={"file": ("a.txt", content)}, headers=headers)
    assert response.status_code == 201, response.text
    return f"/files/{response.json()['id']}"


async def test_what_comes_and_goes_while_a_backup_is_made_does_no_harm_after_a_restore(
    request: pytest.FixtureRequest, database: dict[str, str], data: Path, tmp_path: Path
) -> None:
    path = f"{has_what_it_takes(database)}{os.pathsep}{os.environ['PATH']}"
    backup, restore = commands("pg_dump" if database else "sqlite3")
    of_database, of_bytes = backup.split("tar ", 1)
    empty = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if database else {}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    address, digest = "ada@example.org", hashlib.sha256(b"gone").hexdigest()

    async with serving(data, **database, **SETTINGS, SECRET_KEY="o" * 32) as portico, portico.client() as client:
        await register(client, address)
        ada = bearer((await sign_in(client, address)).json())
        kept, gone = await uploaded(client, b"kept", ada), await uploaded(client, b"gone", ada)
        await run("bash", "-euc", of_database, folder=data.parent, **database, PATH=path)
        assert (await client.delete(gone, headers=ada)).status_code == 204
        await eventually(lambda: not list((data / "files").rglob(digest)))
        late = await uploaded(client, b"late", ada)
        given = (await client.post(f"{late}/link", json={"expires_in": 600}, headers=ada)).json()["url"]
        await run("bash", "-euc", f"tar {of_bytes}", folder=data.parent, **database, PATH=path)

    (data.parent / "backup").rename(elsewhere / "backup")
    await run("bash", "-euc", restore, folder=elsewhere, **empty, PATH=path)
    settings = {**empty, **SETTINGS, "SECRET_KEY": "n" * 32}
    async with serving(elsewhere / "var", **settings) as portico, portico.client() as client:
        ada = bearer((await sign_in(client, address)).json())
        assert (await client.get(f"{kept}/content", headers=ada)).content == b"kept"
        missing = await client.get(f"{gone}/content", headers=ada)
        assert (missing.status_code, missing.json()["code"]) == (404, "content_not_found")
        assert (await client.delete(gone, headers=ada)).status_code == 204
        assert (await client.get(late, headers=ada)).status_code == 404

        assert await uploaded(client, b"gone", ada) == late  # the id is given again, and the link must not open it
        assert (await client.get(f"{late}/content", headers=ada)).content == b"gone"
        assert (await client.get(httpx2.URL(given).raw_path.decode().removeprefix("/api/v1"))).status_code == 403
