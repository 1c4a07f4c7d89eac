"""How fast the job queue is, against a hand-written loop over the same table; and what an event adds to a request.

`python -m tests.benchmarks.jobs ours|bare URL` is one worker process on PostgreSQL. SQLite is for one process, so its
workers are in this one, on the one queue that a process has.
"""

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal
from uuid import uuid4

import asyncpg

from adapters.clock import SystemClock
from adapters.persistence.jobs import SqlJobQueue
from adapters.persistence.migrate import migrate
from adapters.persistence.sqlite_file import connect
from adapters.persistence.work import begin
from application.jobs import CONCURRENCY, Worker
from application.ports.jobs import Job, NewJob
from domain.events import ItemDeleted, UserPinged
from entrypoints.logs import configure_logs
from tests.benchmarks.figures import Figure
from tests.benchmarks.servers import PROJECT
from tests.contracts.stores import opened
from tests.postgres_server import PostgresServer

Kind = Literal["ours", "bare"]

LEAST: Final = 0.7
"""Of the hand-written loop's figure."""
ENQUEUERS: Final = 8
WORKERS: Final = (1, 4)
LEASE_MS: Final = 15_000

INSERT: Final = "INSERT INTO jobs (id, kind, payload, created_at, due_at, attempt) VALUES ({}, 'work', '{{}}', 0, 0, 0)"
CLAIM: Final = (
    "UPDATE jobs SET owner = {}, attempt = attempt + 1, due_at = {} WHERE id IN "
    "(SELECT id FROM jobs WHERE due_at <= {} ORDER BY due_at LIMIT 16{}) RETURNING id"
)
DELETE: Final = "DELETE FROM jobs WHERE id = {} AND owner = {}"


async def _nothing(_: Job) -> None:
    """What each job is."""


def _ignored(_kind: str, _outcome: str) -> None:
    """What is counted of it."""


def _worker(queue: SqlJobQueue) -> Worker:
    return Worker(str(uuid4()), queue, {"work": _nothing}, {}, _ignored)


async def _enqueue(add: Callable[[], Awaitable[Any]], count: int) -> None:
    """So many jobs, each in a transaction of its own, by several at once."""

    async def some() -> None:
        for _ in range(count // ENQUEUERS):
            await add()

    await asyncio.gather(*(some() for _ in range(ENQUEUERS)))


# ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _work_by_hand(url: str) -> None:
    """What one writes first: claim some, do them, delete each."""
    name = str(uuid4())
    connection = await asyncpg.connect(url)
    claim = CLAIM.format("$1", "$2", "$3", " FOR UPDATE SKIP LOCKED")
    while True:
        now = int(time.time() * 1000)
        jobs = await connection.fetch(claim, name, now + LEASE_MS, now)
        for (job_id,) in jobs:
            await connection.execute(DELETE.format("$1", "$2"), job_id, name)
        if not jobs:
            await asyncio.sleep(0.002)


async def _work(url: str) -> None:
    async with opened(url) as database:
        await _worker(SqlJobQueue(database)).run(asyncio.Event())


@contextmanager
def _processes(kind: Kind, url: str, count: int) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.benchmarks.jobs", kind, url]
    workers = [subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(10)


async def _rate_on_postgres(url: str, kind: Kind, workers: int, jobs: int) -> float:
    """Jobs a second, from the first being added to the last being gone."""
    async with opened(url) as database, asyncpg.create_pool(url, min_size=ENQUEUERS, max_size=ENQUEUERS) as pool:
        queue = SqlJobQueue(database)
        insert = INSERT.format("$1")

        async def is_empty() -> bool:
            return not await pool.fetchval("SELECT EXISTS (SELECT FROM jobs)")

        async def add_and_wait(count: int) -> float:
            started = time.perf_counter()
            if kind == "ours":
                await _enqueue(lambda: queue.add(NewJob("work")), count)
            else:
                await _enqueue(lambda: pool.execute(insert, str(uuid4())), count)
            while not await is_empty():  # noqa: ASYNC110 - what is waited for is other processes
                await asyncio.sleep(0.002)
            return count / (time.perf_counter() - started)

        with _processes(kind, url, workers):
            await add_and_wait(ENQUEUERS * CONCURRENCY)  # every worker is up, and its statements are prepared
            await asyncio.sleep(0.5)
            await add_and_wait(ENQUEUERS * CONCURRENCY)
            return await add_and_wait(jobs)


# ── SQLite ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _rate_on_sqlite(path: Path, workers: int, jobs: int) -> float:
    async with opened(f"sqlite:///{path}") as database:
        queue, stop = SqlJobQueue(database), asyncio.Event()
        working = [asyncio.create_task(_worker(queue).run(stop)) for _ in range(workers)]
        started = time.perf_counter()
        await _enqueue(lambda: queue.add(NewJob("work")), jobs)
        while await queue.list_jobs(state=None, limit=1):  # noqa: ASYNC110 - there is no news of an empty queue
            await asyncio.sleep(0.002)
        rate = jobs / (time.perf_counter() - started)
        stop.set()
        await asyncio.gather(*working)
        return rate


def _rate_by_hand_on_sqlite(path: Path, workers: int, jobs: int) -> float:
    left = threading.Semaphore(0)

    def work() -> None:
        name, connection = str(uuid4()), connect(path)
        while not ended.is_set():
            now = int(time.time() * 1000)
            connection.execute("BEGIN IMMEDIATE")
            claimed = connection.execute(CLAIM.format("?", "?", "?", ""), (name, now + LEASE_MS, now)).fetchall()
            connection.execute("COMMIT")
            for (job_id,) in claimed:
                connection.execute(DELETE.format("?", "?"), (job_id, name))
                left.release()
            if not claimed:
                time.sleep(0.002)
        connection.close()

    ended = threading.Event()
    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    connection = connect(path)
    started = time.perf_counter()
    for _ in range(jobs):
        connection.execute(INSERT.format("?"), (str(uuid4()),))
    for _ in range(jobs):
        left.acquire()
    rate = jobs / (time.perf_counter() - started)
    ended.set()
    for thread in threads:
        thread.join()
    connection.close()
    return rate


# ── Both ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def on_postgres(folder: Path, postgres: PostgresServer, *, quick: bool) -> list[Figure]:
    postgres.create_database("jobs")
    url = postgres.url("jobs")
    migrate(url)
    count = 800 if quick else 4000

    def rate(kind: Kind, workers: int) -> float:
        return asyncio.run(_rate_on_postgres(url, kind, workers, count))

    figures = _compared("PostgreSQL", partial(rate, "ours"), partial(rate, "bare"), quick=quick)
    return [*figures, *asyncio.run(_cost_of_an_event(url, "PostgreSQL", quick=quick))]


def on_sqlite(folder: Path, *, quick: bool) -> list[Figure]:
    path = folder / "jobs.db"
    migrate(f"sqlite:///{path}")
    count = 400 if quick else 2000

    def ours(workers: int) -> float:
        return asyncio.run(_rate_on_sqlite(path, workers, count))

    figures = _compared("SQLite", ours, lambda n: _rate_by_hand_on_sqlite(path, n, count), quick=quick)
    return [*figures, *asyncio.run(_cost_of_an_event(f"sqlite:///{path}", "SQLite", quick=quick))]


def _compared(name: str, ours: Callable[[int], float], bare: Callable[[int], float], *, quick: bool) -> list[Figure]:
    """Ours and bare in turns, so that what else the machine does falls on both."""
    figures = []
    for workers in WORKERS:
        rates = [(ours(workers), bare(workers)) for _ in range(2 if quick else 5)]
        title = f"Jobs on {name}, {workers} worker{'s' if workers > 1 else ''}"
        slower = statistics.median(by_hand / our_own for our_own, by_hand in rates)
        figures += [
            Figure(f"{title}: enqueued to finished", statistics.median(rate for rate, _ in rates), "a second"),
            Figure(f"{title}: the hand-written loop", statistics.median(rate for _, rate in rates), "a second"),
            Figure(f"{title}: time of a job, against hand-written", slower, limit=1 / LEAST),
        ]
    return figures


async def _cost_of_an_event(url: str, name: str, *, quick: bool) -> list[Figure]:
    """What a transaction takes longer that announces an event with a reaction, or one that is shown to the owner,
    against one that announces none."""

    async def transaction(event: UserPinged | ItemDeleted | None) -> float:
        started = time.perf_counter()
        async with begin(database, clock, str, lambda _: None) as work:
            if event is not None:
                work.announce(event)
        return (time.perf_counter() - started) * 1_000_000

    clock = SystemClock()
    events = (None, UserPinged(1, "2026-11-24T12:00:00Z"), ItemDeleted(1, 1))
    async with opened(url) as database:
        rounds = [[await transaction(event) for event in events] for _ in range(200 if quick else 2000)]
    none, reaction, shown = (statistics.median(times) for times in zip(*rounds, strict=True))
    return [
        Figure(f"An event with one reaction on {name}: added to a request", reaction - none, "µs"),
        Figure(f"An event that is shown to the owner on {name}: added to a request", shown - none, "µs"),
    ]


if __name__ == "__main__":
    configure_logs("json", "INFO")
    asyncio.run({"ours": _work, "bare": _work_by_hand}[sys.argv[1]](sys.argv[2]))
