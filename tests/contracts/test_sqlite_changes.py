"""Changes of one statement that wait at one time: one trip to the disk, and each for itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.persistence.jobs import SqlJobQueue
from adapters.persistence.sqlite import SqliteDatabase
from adapters.persistence.sqlite_changes import MOST_TOGETHER
from application.ports.jobs import NewJob
from application.ports.persistence import DatabaseFull
from domain.errors import Unavailable


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(Path(sqlite_url.removeprefix("sqlite:///")))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def queue(database: SqliteDatabase) -> SqlJobQueue:
    return SqlJobQueue(database)


async def kinds_in(queue: SqlJobQueue) -> Counter[str]:
    return Counter(job.kind for job in await queue.list_jobs(state=None, limit=1000))


async def commits_seen(database: SqliteDatabase) -> list[str]:
    """Is filled with each commit from now on."""
    commits: list[str] = []

    def note(sql: str) -> None:
        if sql == "COMMIT":
            commits.append(sql)

    await database.writer.run(lambda connection: connection.set_trace_callback(note))
    return commits


async def waiting(queue: SqlJobQueue, *jobs: NewJob) -> list[asyncio.Task[None]]:
    """So many additions, each of which has come to wait for its turn."""
    adding = [asyncio.create_task(queue.add(job)) for job in jobs]
    await asyncio.sleep(0)
    return adding


async def test_those_that_wait_at_one_time_are_committed_together(database: SqliteDatabase, queue: SqlJobQueue) -> None:
    count = 2 * MOST_TOGETHER + 1
    commits = await commits_seen(database)
    async with database.transaction():
        adding = await waiting(queue, *(NewJob(f"number {n}") for n in range(count)))

    await asyncio.gather(*adding)

    assert await kinds_in(queue) == Counter(f"number {n}" for n in range(count))
    assert len(commits) == 3


async def test_one_that_fails_undoes_no_other(database: SqliteDatabase, queue: SqlJobQueue) -> None:
    async with database.transaction():
        adding = await waiting(
            queue, NewJob("before"), NewJob("once", dedupe_key="k"), NewJob("twice", dedupe_key="k"), NewJob("after")
        )

    await asyncio.gather(*adding)

    assert await kinds_in(queue) == Counter(("before", "once", "after"))


async def test_one_whose_caller_went_away_before_its_turn_is_not_made(
    database: SqliteDatabase, queue: SqlJobQueue
) -> None:
    async with database.transaction():
        stays, goes = await waiting(queue, NewJob("stays"), NewJob("goes"))
        goes.cancel()
        with pytest.raises(asyncio.CancelledError):
            await goes

    await stays

    assert await kinds_in(queue) == Counter(("stays",))


async def test_when_none_can_be_written_all_hear_of_it_and_the_next_ones_succeed(
    database: SqliteDatabase, queue: SqlJobQueue
) -> None:
    await database.writer.run(lambda connection: connection.execute("PRAGMA query_only = ON"))
    async with database.transaction():
        adding = await waiting(queue, NewJob("lost"), NewJob("lost"))

    outcomes = await asyncio.gather(*adding, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 2
    await database.writer.run(lambda connection: connection.execute("PRAGMA query_only = OFF"))
    await queue.add(NewJob("kept"))
    assert await kinds_in(queue) == Counter(("kept",))


async def test_who_waits_too_long_for_the_turn_gives_up(
    database: SqliteDatabase, queue: SqlJobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.persistence.sqlite.WAIT", 0.05)
    async with database.transaction():
        outcomes = await asyncio.gather(queue.add(NewJob("late")), queue.add(NewJob("late")), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 2
    await queue.add(NewJob("in time"))
    assert await kinds_in(queue) == Counter(("in time",))


async def test_a_disk_that_fills_up_among_them_loses_none_that_was_acknowledged(
    database: SqliteDatabase, queue: SqlJobQueue
) -> None:
    pages = await database.writer.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await database.writer.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 2}"))
    jobs = [NewJob(f"number {n}", payload={"filling": "x" * 3000}) for n in range(10)]
    async with database.transaction():
        adding = await waiting(queue, *jobs)

    outcomes = await asyncio.gather(*adding, return_exceptions=True)

    acknowledged = [job.kind for job, outcome in zip(jobs, outcomes, strict=True) if outcome is None]
    assert DatabaseFull in {type(outcome) for outcome in outcomes}
    assert await kinds_in(queue) == Counter(acknowledged)
