"""What only SQLite has to prove: that it keeps what it acknowledged, and that nobody ever sees a lock."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from adapters.persistence.migrations import head
from adapters.persistence.sqlite import READERS, SqliteDatabase
from adapters.persistence.sqlite_file import connect
from application.ports.persistence import DatabaseFull
from domain.errors import Unavailable
from tests.builders import a_user
from tests.contracts.stores import Store, store_on
from tests.fakes import SettableClock
from tests.running_app import copy_database, eventually
from tests.small_file_system import fill, small_file_system

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@pytest.fixture
def path(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(path)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def store(database: SqliteDatabase, clock: SettableClock) -> Store:
    return store_on(database, clock)


@contextmanager
def lock_held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing until it gets a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
def test_a_connection_is_durable_and_keeps_references(path: Path, pragma: str, value: str | int) -> None:
    connection = connect(path)
    try:
        assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    finally:
        connection.close()


async def test_the_readers_and_the_writer_use_such_connections(database: SqliteDatabase) -> None:
    def look(connection: sqlite3.Connection) -> tuple[int, int]:
        synchronous, foreign_keys = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "foreign_keys")
        )
        return synchronous, foreign_keys

    assert await database.writer.run(look) == await database._readers.run(look) == (2, 1)


def test_many_who_open_a_new_file_at_once_all_succeed(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def open_at_once(file: Path) -> None:
        barrier.wait(60)
        connect(file).close()

    with ThreadPoolExecutor(barrier.parties) as threads:
        for number in range(20):
            list(threads.map(open_at_once, [tmp_path / f"{number}.db"] * barrier.parties))


async def test_writers_wait_while_another_process_writes_and_readers_do_not(store: Store, path: Path) -> None:
    await store.has("ada@example.org")
    with lock_held_by_another_process(path) as process:
        writing = [asyncio.create_task(store.has(f"user{number}@example.org")) for number in range(10)]
        async with asyncio.timeout(60):
            assert (await store.reads.user(1)).email == "ada@example.org"
        assert not any(task.done() for task in writing)

        let_go(process)

        assert sorted(user.id for user in await asyncio.gather(*writing)) == list(range(2, 12))


async def test_a_lock_that_is_never_let_go_makes_writers_give_up_and_the_next_ones_succeed(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.persistence.sqlite_file.WAIT", 0.2)
    with lock_held_by_another_process(path) as process:
        outcomes = await asyncio.gather(
            *(store.has(f"user{number}@example.org") for number in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
        let_go(process)
        process.wait(60)

    assert (await store.has()).id > 0


async def test_who_waits_too_long_for_the_turn_in_this_process_gives_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.persistence.sqlite.WAIT", 0.05)
    async with store.begin():
        with pytest.raises(Unavailable):
            await store.has("late@example.org")

    assert (await store.has("in.time@example.org")).id > 0


async def test_a_process_that_is_killed_in_the_middle_of_writing_leaves_no_lock(store: Store, path: Path) -> None:
    with lock_held_by_another_process(path) as process:
        process.kill()
        process.wait(60)

    assert (await store.has()).id == 1


async def test_processes_that_read_and_then_write_at_once_all_succeed(store: Store, path: Path) -> None:
    user = await store.has(full_name="")
    other = SqliteDatabase(path)
    await other.open()

    async def sign(store: Store, letter: str) -> None:
        async with store.begin() as work:
            signed = await work.users.get(user.id)
            await asyncio.sleep(0)
            signed.full_name = f"{signed.full_name}{letter}"
            await work.users.save(signed)

    await asyncio.gather(
        *(sign(store, letter) for letter in "abcdefghij"),
        *(sign(store_on(other, store.clock), letter) for letter in "klmnopqrst"),
    )

    assert sorted((await store.reads.user(user.id)).full_name or "") == list("abcdefghijklmnopqrst")
    await other.close()


async def test_who_is_cancelled_again_while_it_is_undone_still_leaves_nothing(
    database: SqliteDatabase, store: Store
) -> None:
    is_inside, may_go_on = asyncio.Event(), threading.Event()

    async def linger() -> None:
        async with store.begin() as work:
            await work.users.add(a_user("ada@example.org"))
            is_inside.set()
            await asyncio.Event().wait()

    lingering = asyncio.create_task(linger())
    await is_inside.wait()
    busy = asyncio.create_task(database.writer.run(lambda _: may_go_on.wait(60)))
    for _ in range(3):
        await asyncio.sleep(0)
        lingering.cancel()
    await asyncio.gather(lingering, return_exceptions=True)
    may_go_on.set()
    await busy

    assert (await store.has("ada@example.org")).email == "ada@example.org"


async def test_a_full_disk_makes_writing_unavailable_and_the_database_stays_usable(
    database: SqliteDatabase, store: Store
) -> None:
    stored = await store.has("ada@example.org")
    pages = await database.writer.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await database.writer.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))

    with pytest.raises(Unavailable):
        await store.has("grace@example.org", full_name="x" * 1_000_000)

    assert await store.reads.user(stored.id) == stored
    async with store.begin() as work:
        await work.users.save(stored)
    await database.writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
    assert (await store.has("grace@example.org", full_name="x" * 1_000_000)).id > stored.id


async def test_a_file_system_without_room_makes_writing_unavailable_until_there_is_some(
    sqlite_template: Path, tmp_path: Path, clock: SettableClock
) -> None:
    with small_file_system(tmp_path / "small", mebibytes=2) as folder:
        copy_database(sqlite_template, folder)
        ballast = folder / "ballast"
        database = SqliteDatabase(folder / "portico.db")
        await database.open()
        try:
            store = store_on(database, clock)
            stored = await store.has("ada@example.org")
            fill(ballast)
            with pytest.raises(DatabaseFull):
                await store.has("grace@example.org", full_name="x" * 200_000)
            assert await store.reads.user(stored.id) == stored

            ballast.unlink()

            assert (await store.has("grace@example.org", full_name="x" * 200_000)).id > stored.id
        finally:
            await database.close()


async def test_a_file_that_can_not_be_written_is_unavailable(store: Store, database: SqliteDatabase) -> None:
    await store.has("ada@example.org")
    await database.writer.run(lambda connection: connection.execute("PRAGMA query_only = ON"))

    with pytest.raises(Unavailable):
        await store.has("grace@example.org")

    await database.writer.run(lambda connection: connection.execute("PRAGMA query_only = OFF"))
    assert (await store.has("grace@example.org")).id > 1


async def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "not" / "there" / "portico.db")
    await database.open()
    assert await database.schema_revision() is None
    await database.close()


async def test_a_folder_that_can_not_be_made_and_a_file_that_is_no_database_are_unavailable(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("this is no database, and longer than the header of one, " * 20)
    for path in (tmp_path / "a file" / "portico.db", tmp_path / "a file"):
        database = SqliteDatabase(path)
        await database.open()
        with pytest.raises(Unavailable):
            await database.schema_revision()
        with pytest.raises(Unavailable):
            await store_on(database, SettableClock()).has()
        await database.close()


async def test_one_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "portico.db")

    await database.close()

    assert database.connections() == {"used": 0, "idle": 0}


async def test_who_waits_too_long_for_a_thread_that_reads_gives_up_and_the_next_ones_succeed(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held_by_readers(database) as reading:
        monkeypatch.setattr("adapters.persistence.sqlite_threads.WAIT", 0.05)
        with pytest.raises(Unavailable):
            await database.schema_revision()
        assert database.connections()["used"] == READERS
        monkeypatch.setattr("adapters.persistence.sqlite_threads.WAIT", 60.0)
        waiting = asyncio.create_task(database.schema_revision())
        await asyncio.sleep(0)

    await asyncio.gather(*reading)

    assert await waiting == head()
    assert database.connections()["used"] == 0


async def test_a_thread_is_free_only_when_it_has_done_what_nobody_waits_for_any_more(
    database: SqliteDatabase,
) -> None:
    async with held_by_readers(database) as reading:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        still = database.connections()["used"]

    assert still == READERS
    assert await database.schema_revision() == head()
    await eventually(lambda: database.connections() == {"used": 0, "idle": READERS})


@asynccontextmanager
async def held_by_readers(database: SqliteDatabase) -> AsyncIterator[list[asyncio.Task[bool]]]:
    """Reads that keep every thread there is until the block is left."""
    done = threading.Event()
    reading = [asyncio.create_task(database._readers.run(lambda _: done.wait(60))) for _ in range(READERS)]
    await eventually(lambda: database._readers.opened == READERS)
    yield reading
    done.set()


async def test_closing_writes_the_log_into_the_file_and_lets_go_of_it(path: Path) -> None:
    database = SqliteDatabase(path)
    await database.open()
    await store_on(database, SettableClock()).has()
    log = path.with_name(f"{path.name}-wal")
    assert log.exists()

    await database.close()

    assert not log.exists()
