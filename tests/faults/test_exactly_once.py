"""Workers that are killed, and a database that crashes, at random moments through many imports and mails.

Each row of an import must be there exactly once, each mail at least once under one Message-ID, and nothing stuck. If no
fault happened to interrupt an import, there are more of both. The short form is part of the suite, always with one
seed; `make soak` runs the long one with another each time, which is printed; `PORTICO_SOAK_SEED` repeats such a run.
"""

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from application.correlation import request_id
from application.ports.jobs import RUN_TASK
from application.uploads import Upload
from domain.errors import Unavailable
from domain.events import PasswordChanged
from domain.items import ItemSort
from domain.pages import Key, PageRequest
from domain.tasks import Task, TaskKind
from domain.users import Actor, User
from entrypoints.container import Container
from entrypoints.lifecycle import running
from tests.builders import a_user
from tests.faults.processes import Process, comes_true, mail_through, working_hastily
from tests.mail_server import MailServer, smtp_server
from tests.postgres_server import PostgresServer
from tests.running_app import settings_for

IS_LONG: Final = "PORTICO_SOAK_ROUNDS" in os.environ
IMPORTS: Final = 200 if IS_LONG else 40
MAILS: Final = 200 if IS_LONG else 40
MOST_ROWS: Final = 4000
WORKERS: Final = 2
KILLS: Final = 50 if IS_LONG else 5
CRASHES: Final = 20 if IS_LONG else 3
PAUSE: Final = 0.3
"""Seconds, at most, from when work is seen to be under way to the fault."""
DEADLINE: Final = 600.0 if IS_LONG else 300.0


@dataclass
class Load:
    """What is to be done, and what must come of it."""

    container: Any
    users: list[User] = field(default_factory=list)
    titles: dict[int, list[str]] = field(default_factory=dict)
    """The titles of the good rows, by their owner."""
    tasks: list[Task] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    """The ids of the requests that cause them."""

    async def cause(self, dice: random.Random, share: float) -> None:
        """Start this share of the imports, and cause as many of the mails."""
        for _ in range(round(IMPORTS * share)):
            await self._start_import(dice)
        for _ in range(round(MAILS * share)):
            self.mails.append(f"mail-{len(self.mails)}")
            token = request_id.set(self.mails[-1])
            user = dice.choice(self.users)
            async with self.container.begin()() as work:
                work.announce(PasswordChanged(user.id, user.email))
            request_id.reset(token)

    async def _start_import(self, dice: random.Random) -> None:
        number = len(self.users)
        async with self.container.begin()() as work:
            user = await work.users.add(a_user(f"user{number}@example.org"))
        self.users.append(user)
        actor = Actor(user, "a session")
        content = "title,description\n"
        self.titles[user.id] = []
        for row in range(dice.randint(1, MOST_ROWS)):
            is_good = dice.random() < 0.9
            content += f'"{row}",of {number}\n' if is_good else f",of {number}\n"
            self.titles[user.id] += [str(row)] if is_good else []
        (file,) = await self.container.store_files()(actor, _uploads(content))
        start = self.container.start_task()
        self.tasks.append(await start(actor, TaskKind.IMPORT_ITEMS, {"file_id": file.id}))

    async def is_under_way(self) -> bool:
        """Whether a worker is at an import, or there is none left."""
        jobs = await self.container.job_queue().list_jobs(state=None, limit=1000)
        states = {job.state for job in jobs if job.kind == RUN_TASK}
        return "running" in states or not states

    async def at_an_import(self) -> str:
        """The workers that are at one, by what they call themselves."""
        queue = self.container.job_queue()
        jobs = [job for job in await queue.list_jobs(state="running", limit=1000) if job.kind == RUN_TASK]
        found = [await queue.find(job.id) for job in jobs]
        return " ".join(job.owner or "" for job in found if job is not None)

    async def was_interrupted(self) -> bool:
        """Whether an import had to be taken up again: else nothing was put to the test."""
        return any([(await self.container.reads().task(task.id)).attempts > 1 for task in self.tasks])

    async def is_done(self) -> bool:
        """Whether all is done, as far as the queue knows."""
        with suppress(Unavailable):
            jobs = await self.container.job_queue().list_jobs(state=None, limit=1000)
            return all(job.kind in self.container.schedules() for job in jobs)
        return False

    async def check(self, mails: MailServer) -> None:
        """Each effect is there as often as it must be, and nothing is stuck."""
        for task in self.tasks:
            now = await self.container.reads().task(task.id)
            assert (now.status, now.progress) == ("completed", 100), now
            assert now.result["created"] == len(self.titles[task.owner_id])
            assert Counter(await self._titles_of(task.owner_id)) == Counter(self.titles[task.owner_id])
        attempts = sum([(await self.container.reads().task(task.id)).attempts for task in self.tasks])
        print(f"{attempts} attempts at {len(self.tasks)} imports, {len(mails.messages)} of {len(self.mails)} mails")
        sent = {(mail.message["X-Request-ID"], mail.message["Message-ID"]) for mail in mails.messages}
        assert sorted(cause for cause, _ in sent) == sorted(self.mails)
        assert len({message_id for _, message_id in sent}) == len(self.mails)

    async def _titles_of(self, owner_id: int) -> list[str]:
        titles, after = list[str](), None
        while True:
            key: Key | None = after
            page = await self.container.reads().items(
                owner_id, PageRequest(limit=1000, after=key), sort=ItemSort.OLDEST, words=()
            )
            titles += [item.title for item in page.items]
            after = page.next_key
            if after is None:
                return titles


async def _uploads(content: str) -> AsyncIterator[Upload]:
    async def chunks() -> AsyncIterator[bytes]:
        yield content.encode()

    yield Upload("items.csv", "text/csv", chunks())


@asynccontextmanager
async def loaded(data: Path, database: dict[str, str]) -> AsyncIterator[Load]:
    named = {"database_url": url} if (url := database.get("DATABASE_URL")) else {}
    container = Container(settings=settings_for(data, **named))
    async with running(container, with_worker=False):
        yield Load(container)


@asynccontextmanager
async def workers(
    data: Path, settings: dict[str, str]
) -> AsyncIterator[tuple[list[Process], Callable[[], Awaitable[Process]]]]:
    """Some workers, and what starts another one."""
    async with AsyncExitStack() as stack:

        async def start() -> Process:
            return await stack.enter_async_context(working_hastily(data, **settings))

        yield [await start() for _ in range(WORKERS)], start


def a_seed() -> int:
    return int(os.environ.get("PORTICO_SOAK_SEED") or (secrets.randbelow(2**32) if IS_LONG else 1))


async def a_bad_moment(load: Load, dice: random.Random, share: float) -> None:
    """Some more work, and the time until somebody is in the middle of it."""
    await load.cause(dice, share)
    await comes_true(load.is_under_way, DEADLINE)
    await asyncio.sleep(dice.uniform(0, PAUSE))


async def all_of_it(load: Load, processes: Sequence[Process], mails: MailServer) -> None:
    """Return once all is done. The errors of the workers are shown if it isn't in time."""

    async def is_done() -> bool:
        alive = [process for process in processes if process.process.returncode is None]
        assert len(alive) == WORKERS, processes[-1].errors[-2000:]
        return await load.is_done()

    try:
        await comes_true(is_done, DEADLINE)
    except TimeoutError:
        raise AssertionError([process.errors[-2000:] for process in processes[-WORKERS:]]) from None
    await load.check(mails)


@pytest.mark.timeout(900)
async def test_workers_that_are_killed_do_everything_once(database: dict[str, str], data: Path) -> None:
    seed = a_seed()
    print(f"PORTICO_SOAK_SEED={seed}")
    dice = random.Random(seed)
    async with (
        smtp_server(tls="none") as mails,
        loaded(data, database) as load,
        workers(data, {**database, **mail_through(mails)}) as (processes, start_another),
    ):
        while not await load.was_interrupted():
            for _ in range(KILLS):
                await a_bad_moment(load, dice, 1 / KILLS)
                alive = [process for process in processes if process.process.returncode is None]
                busy = await load.at_an_import()
                victim = dice.choice([one for one in alive if f":{one.process.pid}:" in busy] or alive)
                victim.kill()
                await victim.exit_status()
                processes.append(await start_another())
            await all_of_it(load, processes, mails)


@pytest.mark.timeout(900)
async def test_a_database_that_crashes_loses_nothing_and_doubles_nothing(
    own_postgres: PostgresServer, data: Path
) -> None:
    seed = a_seed()
    print(f"PORTICO_SOAK_SEED={seed}")
    dice = random.Random(seed)
    await asyncio.to_thread(own_postgres.create_database, "portico")
    database = {"DATABASE_URL": own_postgres.url("portico")}
    await asyncio.to_thread(_migrate, database["DATABASE_URL"])
    async with (
        smtp_server(tls="none") as mails,
        loaded(data, database) as load,
        workers(data, {**database, **mail_through(mails)}) as (processes, _),
    ):
        while not await load.was_interrupted():
            for _ in range(CRASHES):
                await a_bad_moment(load, dice, 1 / CRASHES)
                await asyncio.to_thread(own_postgres.stop_immediately)
                await asyncio.sleep(dice.uniform(0, 1))
                await asyncio.to_thread(own_postgres.start)
            await all_of_it(load, processes, mails)


def _migrate(url: str) -> None:
    from adapters.persistence.migrate import migrate  # loads Alembic

    migrate(url)
