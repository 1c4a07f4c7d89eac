"""The schema: from empty to what the rows declare, on both databases."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

from adapters.persistence.migrate import LOCK, MIGRATIONS, migrate, upgrade
from adapters.persistence.migrations import MigrationFailed, head
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


def test_a_database_of_a_newer_version_is_refused_and_stays_what_it_is(database_url: str) -> None:
    asyncio.run(stand_at("9999", database_url))

    with pytest.raises(MigrationFailed, match=f"its schema is of a newer version .9999, where this one knows {head()}"):
        migrate(database_url)

    assert asyncio.run(drift_at(database_url)) == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:///{folder}/a file", "DatabaseError: file is not a database"),
        ("sqlite:///{folder}/a file/portico.db", "FileExistsError"),
        ("postgresql://portico:hidden-password@/portico?host={folder}", "FileNotFoundError"),
        ("postgresql://postgres@/missing?{query}", 'InvalidCatalogNameError: database "missing" does not exist'),
    ],
)
def test_one_that_can_not_be_used_is_told_in_one_line(tmp_path: Path, postgres_url: str, url: str, why: str) -> None:
    (tmp_path / "a file").write_text("this is no database, and longer than the header of one, " * 20)

    with pytest.raises(MigrationFailed) as failed:
        migrate(url.format(folder=tmp_path, query=postgres_url.partition("?")[2]))

    assert str(failed.value).startswith(f"the database could not be brought up to date: {why}")
    assert len(str(failed.value).splitlines()) == 1
    assert "sqlalche.me" not in str(failed.value)
    assert "hidden-password" not in str(failed.value)


async def test_a_migration_that_never_ends_makes_the_others_give_up(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.persistence.migrate.LONGEST_WAIT", 1)
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        with pytest.raises(MigrationFailed, match="another process has kept a lock"):
            await asyncio.to_thread(migrate, postgres_url)
    finally:
        await connection.close()

    await asyncio.to_thread(migrate, postgres_url)


def test_a_file_whose_name_holds_signs_of_urls_is_the_one_that_is_used(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/what?/100%25#1.db"

    migrate(url)

    assert (tmp_path / "what?" / "100%25#1.db").exists()


async def stand_at(revision: str, url: str) -> None:
    """Make the database one that another version has brought to this revision."""
    if url.startswith("sqlite"):
        with open_sqlite(url) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
        return
    postgres = await asyncpg.connect(url)
    try:
        await postgres.execute("UPDATE alembic_version SET version_num = $1", revision)
    finally:
        await postgres.close()


def test_three_processes_that_migrate_at_once_all_succeed(empty_database_url: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": empty_database_url, "DATA_DIR": str(tmp_path / "data"), "ENVIRONMENT": "test"}
    command = [sys.executable, "-m", "entrypoints.cli", "migrate"]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]

    answers = [process.communicate(timeout=300)[0] for process in processes]

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
