"""The schema: from empty to what the rows declare, on both databases."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

from adapters.persistence.migrate import MIGRATIONS, migrate, upgrade
from adapters.persistence.migrations import head
from domain.errors import Unavailable
from tests.contracts.stores import opened, store_on
from tests.fakes import SettableClock


@pytest.fixture
def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


def drift(connection: Connection) -> list[object]:
    """What autogenerate would change."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, SQLModel.metadata))


async def drift_at(url: str) -> list[object]:
    target = make_url(url)
    if target.drivername == "sqlite":
        engine = create_engine(target)
        with engine.connect() as connection:
            found = drift(connection)
        engine.dispose()
        return found
    async_engine = create_async_engine(target.set(drivername="postgresql+asyncpg"))
    async with async_engine.connect() as async_connection:
        found = await async_connection.run_sync(drift)
    await async_engine.dispose()
    return found


def test_there_is_one_head_and_it_is_known_without_alembic(scripts: ScriptDirectory) -> None:
    assert scripts.get_heads() == [head()]


def test_the_history_is_one_line_from_one_start(scripts: ScriptDirectory) -> None:
    history = list(scripts.walk_revisions())

    assert [script.down_revision for script in history] == [script.revision for script in history[1:]] + [None]
    assert [Path(script.path).name.partition("_")[0] for script in history] == [script.revision for script in history]


def test_an_empty_database_becomes_what_the_rows_declare(empty_database_url: str) -> None:
    migrate(empty_database_url)

    assert asyncio.run(drift_at(empty_database_url)) == []


def test_a_database_that_lacks_a_column_is_seen_to_drift(empty_sqlite_url: str) -> None:
    migrate(empty_sqlite_url)
    with open_sqlite(empty_sqlite_url) as connection:
        connection.execute("ALTER TABLE users DROP COLUMN full_name")

    assert len(asyncio.run(drift_at(empty_sqlite_url))) == 1


def test_migrating_what_is_up_to_date_changes_nothing(database_url: str) -> None:
    migrate(database_url)

    assert asyncio.run(drift_at(database_url)) == []


async def test_the_database_says_where_it_stands(empty_database_url: str) -> None:
    async with opened(empty_database_url) as database:
        assert await database.schema_revision() is None
        await asyncio.to_thread(migrate, empty_database_url)
        assert await database.schema_revision() == head()


async def test_before_the_first_migration_everything_is_unavailable_and_then_works(empty_database_url: str) -> None:
    async with opened(empty_database_url) as database:
        store = store_on(database, SettableClock())
        with pytest.raises(Unavailable):
            await store.reads.identify("a session")
        with pytest.raises(Unavailable):
            await store.has()
        with pytest.raises(Unavailable):
            await store.jobs.figures()

        await asyncio.to_thread(migrate, empty_database_url)

        assert (await store.has()).id == 1


def test_a_migration_that_fails_leaves_nothing(empty_sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade_and_fail(connection: Connection, revision: str) -> None:
        upgrade(connection, revision)
        raise RuntimeError

    monkeypatch.setattr("adapters.persistence.migrate.upgrade", upgrade_and_fail)
    with pytest.raises(RuntimeError):
        migrate(empty_sqlite_url)

    with open_sqlite(empty_sqlite_url) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_three_processes_that_migrate_at_once_all_succeed(empty_database_url: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": empty_database_url, "DATA_DIR": str(tmp_path / "data"), "ENVIRONMENT": "test"}
    command = [sys.executable, "-m", "entrypoints.cli", "migrate"]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]

    answers = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert answers == ["The database is up to date.\n"] * 3
    assert asyncio.run(drift_at(empty_database_url)) == []


@contextmanager
def open_sqlite(url: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()
