"""Tasks in real workers: paused past their lease, cancelled in the middle, and given more than memory holds."""

import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from application.uploads import Upload
from domain.files import File
from domain.items import ItemSort
from domain.pages import Key, PageRequest
from domain.tasks import Task, TaskKind
from domain.users import Actor
from entrypoints.container import Container
from entrypoints.lifecycle import running
from tests.builders import a_user
from tests.faults.processes import HAS_PROC, Process, comes_true, working_hastily
from tests.running_app import settings_for

ROWS: Final = 40_000
ENDLESS: Final = 200_000
"""Rows that no worker gets through before it is told to stop: only uploading them costs something."""
MIB: Final = 1024 * 1024
DEADLINE: Final = 300.0
MOST_GROWTH: Final = 48.0
"""MiB that a worker may need more for another 400 MiB: what the allocator doesn't give back."""


@dataclass
class Office:
    """What starts tasks and looks at them, without doing them."""

    container: Any
    actor: Actor

    async def upload(self, chunks: AsyncIterator[bytes]) -> File:
        async def uploads() -> AsyncIterator[Upload]:
            yield Upload("items.csv", "text/csv", chunks)

        file: File
        (file,) = await self.container.store_files()(self.actor, uploads())
        return file

    async def start_import(self, chunks: AsyncIterator[bytes]) -> str:
        file = await self.upload(chunks)
        task: Task = await self.container.start_task()(self.actor, TaskKind.IMPORT_ITEMS, {"file_id": file.id})
        return task.id

    async def start_export(self) -> str:
        task: Task = await self.container.start_task()(self.actor, TaskKind.EXPORT_ACCOUNT, {})
        return task.id

    async def task(self, task_id: str) -> Task:
        task: Task = await self.container.reads().task(task_id)
        return task

    async def comes_to(self, task_id: str, *, attempts: int = 1, progress: int = 1) -> None:
        """Return once the task is as far as that."""

        async def is_there() -> bool:
            task = await self.task(task_id)
            return task.attempts >= attempts and task.progress >= progress

        await comes_true(is_there, DEADLINE)

    async def is_left(self) -> None:
        """Return once no worker is at a task."""

        async def nobody_is() -> bool:
            jobs = await self.container.job_queue().list_jobs(state=None, limit=100)
            return all(job.kind in self.container.schedules() for job in jobs)

        await comes_true(nobody_is, DEADLINE)

    async def titles(self) -> list[str]:
        titles, after = list[str](), None
        while True:
            key: Key | None = after
            request = PageRequest(limit=5000, after=key)
            page = await self.container.reads().items(self.actor.user.id, request, sort=ItemSort.OLDEST, words=())
            titles += [item.title for item in page.items]
            after = page.next_key
            if after is None:
                return titles


@asynccontextmanager
async def office(data: Path, database: dict[str, str]) -> AsyncIterator[Office]:
    named = {"database_url": url} if (url := database.get("DATABASE_URL")) else {}
    container: Any = Container(settings=settings_for(data, **named))
    async with running(container, with_worker=False):
        async with container.begin()() as work:
            user = await work.users.add(a_user())
        yield Office(container, Actor(user, "a session"))


async def a_csv(rows: int, description: str = "") -> AsyncIterator[bytes]:
    yield b"title,description\n"
    for start in range(0, rows, 1000):
        yield "".join(f"{n},{description}\n" for n in range(start, min(rows, start + 1000))).encode()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_a_worker_that_is_paused_past_its_lease_writes_nothing_more(database: dict[str, str], data: Path) -> None:
    """Most likely it is paused within a transaction; the database then takes its locks from it after a while."""
    async with office(data, database) as there, working_hastily(data, **database) as first:
        imports, is_in_the_middle = 0, False
        while not is_in_the_middle:  # we may look so late that it has come to the end
            task_id = await there.start_import(a_csv(ROWS))
            imports += 1
            await there.comes_to(task_id)
            first.process.send_signal(signal.SIGSTOP)
            is_in_the_middle = (await there.task(task_id)).progress < 100
            if not is_in_the_middle:
                first.process.send_signal(signal.SIGCONT)
        async with working_hastily(data, **database):
            await there.comes_to(task_id, attempts=2)
            first.process.send_signal(signal.SIGCONT)
            await there.comes_to(task_id, progress=100)
        await comes_true(lambda: _says(first, "job lost"), DEADLINE)
        done = await there.task(task_id)
        titles = await there.titles()

    assert done.attempts >= 2
    assert done.result is not None
    assert done.result["created"] == ROWS
    assert Counter(titles) == Counter(str(n) for n in range(ROWS) for _ in range(imports))


async def _says(process: Process, text: str) -> bool:
    return text in process.errors


async def test_a_task_that_is_cancelled_while_it_runs_brings_nothing_more_about(
    database: dict[str, str], data: Path
) -> None:
    async with office(data, database) as there, working_hastily(data, **database):
        task_id = await there.start_import(a_csv(ENDLESS))
        await there.comes_to(task_id)
        await there.container.cancel_task()(there.actor, task_id)
        cancelled, made = await there.task(task_id), await there.titles()
        await there.is_left()
        after, made_in_the_end = await there.task(task_id), await there.titles()

    assert (cancelled.status, cancelled) == ("cancelled", after)
    assert made == made_in_the_end == [str(n) for n in range(len(made))]
    assert 0 < len(made) < ENDLESS


@pytest.mark.skipif(not HAS_PROC, reason="needs /proc to look at the memory of a process")
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_memory_stays_flat_whatever_the_size_of_a_task(database: dict[str, str], data: Path) -> None:
    async def zeros(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield bytes(MIB)

    async with office(data, database) as there, working_hastily(data, **database) as worker:
        peaks = []
        for rows, size in ((1_000, 128 * MIB), (6_000, 384 * MIB)):
            await there.upload(zeros(size))
            for task_id in (await there.start_import(a_csv(rows, "x" * 9_000)), await there.start_export()):
                await there.comes_to(task_id, progress=100)
            peaks.append(_peak_memory(worker))

    assert peaks[1] - peaks[0] < MOST_GROWTH, peaks


def _peak_memory(process: Process) -> float:
    """The most that was ever resident, in MiB."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024
