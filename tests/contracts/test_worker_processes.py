"""Workers that die or fall asleep in the middle of a job: real processes, on both databases."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from application.ports.jobs import NewJob
from domain.errors import Unavailable
from tests.contracts.stores import Store
from tests.contracts.worker_process import LEASE
from tests.running_app import eventually

ROOT: Final = Path(__file__).parents[2]
OFTEN: Final = 2.0
NEVER: Final = 3600.0
DEADLINE: Final = 60.0


class Workers:
    """Worker processes on one database, and what they left in a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *, heartbeat: float = OFTEN) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.contracts.worker_process"]
        process = subprocess.Popen([*command, self._url, name, str(self._folder), str(heartbeat)], cwd=ROOT)
        self._processes.append(process)
        return process

    async def has_begun(self, name: str) -> None:
        await eventually((self._folder / f"begun-{name}").exists, DEADLINE)

    def let_go(self, name: str) -> None:
        """The handler of that worker may go on."""
        (self._folder / f"go-{name}").touch()

    async def outcomes(self, count: int) -> list[str]:
        """What the workers said of their jobs, once that is so many lines."""

        def lines() -> list[str]:
            outcomes = self._folder / "outcomes"
            return outcomes.read_text().splitlines() if outcomes.exists() else []

        await eventually(lambda: len(lines()) >= count, DEADLINE)
        return lines()

    def effects(self) -> list[str]:
        """The workers whose effects stand."""
        return [effect.read_text() for effect in self._folder.glob("effect-*")]

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(60)


@pytest.fixture
def workers(database_url: str, tmp_path: Path) -> Iterator[Workers]:
    folder = tmp_path / "left"
    folder.mkdir()
    workers = Workers(database_url, folder)
    yield workers
    workers.end()


async def sleep_past_the_lease(worker: subprocess.Popen[bytes], store: Store) -> None:
    """Stop it, and let the leases run out. One that is stopped in the middle of a transaction would keep everybody
    from its rows, or from all: it goes on, and is stopped again."""
    async with asyncio.timeout(DEADLINE):
        while True:
            worker.send_signal(signal.SIGSTOP)
            with suppress(TimeoutError, Unavailable):
                async with asyncio.timeout(2):
                    return await store.let_pass(LEASE)
            worker.send_signal(signal.SIGCONT)
            await store.let_pass(timedelta())


async def test_what_a_killed_worker_was_doing_is_done_by_another(workers: Workers, sql_store: Store) -> None:
    await sql_store.jobs.add(NewJob("work"))
    first = workers.start("first")
    await workers.has_begun("first")

    first.kill()
    first.wait(60)
    await sql_store.let_pass(LEASE)
    workers.start("second")
    workers.let_go("second")

    assert await workers.outcomes(1) == ["second done"]
    assert workers.effects() == ["second"]
    assert await sql_store.jobs.list_jobs(state=None, limit=10) == []


async def test_a_worker_that_slept_past_its_lease_drops_the_job_at_its_next_heartbeat(
    workers: Workers, sql_store: Store
) -> None:
    await sql_store.jobs.add(NewJob("work"))
    first = workers.start("first")
    await workers.has_begun("first")

    await sleep_past_the_lease(first, sql_store)
    workers.start("second")
    workers.let_go("second")
    assert await workers.outcomes(1) == ["second done"]
    first.send_signal(signal.SIGCONT)

    assert await workers.outcomes(2) == ["second done", "first lost"]
    assert workers.effects() == ["second"]
    assert await sql_store.jobs.list_jobs(state=None, limit=10) == []


async def test_a_worker_that_slept_past_its_lease_can_not_conclude_the_job_while_another_does_it(
    workers: Workers, sql_store: Store
) -> None:
    await sql_store.jobs.add(NewJob("work"))
    first = workers.start("first", heartbeat=NEVER)
    await workers.has_begun("first")
    await sleep_past_the_lease(first, sql_store)
    workers.start("second")
    await workers.has_begun("second")

    first.send_signal(signal.SIGCONT)
    workers.let_go("first")

    assert await workers.outcomes(1) == ["first lost"]
    (record,) = await sql_store.jobs.list_jobs(state="running", limit=10)
    assert record.attempt >= 2
    workers.let_go("second")
    assert await workers.outcomes(2) == ["first lost", "second done"]
    assert workers.effects() == ["first"]
    assert await sql_store.jobs.list_jobs(state=None, limit=10) == []
