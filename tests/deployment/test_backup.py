"""Backups as the README says: made while people use Portico, and served from after a restore, on each database."""

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Final

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
