"""Doing tasks: one attempt of one worker at a time, and nothing that it writes counts once it isn't the one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from application.ports.clock import Clock
from application.ports.jobs import TASK_ID, Job, LeaseLost, PermanentFailure
from application.ports.persistence import Begin, Reads, Work
from application.tasks import GAVE_UP
from domain.errors import Refusal, Unavailable
from domain.events import TaskUpdated
from domain.tasks import Task, TaskFinished, TaskImpossible, TaskNotFound

TRIES: Final = 6
"""How often a task is tried that fails for no known reason: over about 25 minutes, by `RETRY_DELAYS`."""
LOOK_EVERY: Final = timedelta(seconds=1)
"""How often a worker looks whether the task it is at was cancelled."""
TELL_EVERY: Final = timedelta(seconds=1)
"""How often progress is announced at most."""


@dataclass
class Run:
    """One attempt at a task, by the worker that has its job."""

    begin: Begin
    clock: Clock
    job: Job
    task: Task
    """As it was when it was last read or written."""
    _told_at: datetime | None = None

    @asynccontextmanager
    async def within(self, work: Work) -> AsyncIterator[Task]:
        """The task, in a transaction that brings something about; it is saved at the end of the block.

        The job is held until the commit, so a worker that was thought dead can't write beside the one that took over.
        Raises `LeaseLost`, `TaskFinished` or `TaskNotFound`.
        """
        await work.hold(self.job)
        task = await work.tasks.get(self.task.id)
        task.must_go_on()
        yield task
        await work.tasks.save(task)
        if task.has_ended or self.is_time_to_tell:
            work.announce(TaskUpdated(task))
            self._told_at = self.clock.now()
        self.task = task

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[tuple[Work, Task]]:
        """As `within`, in a transaction of its own."""
        async with self.begin() as work, self.within(work) as task:
            yield work, task

    @property
    def is_time_to_tell(self) -> bool:
        return self._told_at is None or self.clock.now() - self._told_at >= TELL_EVERY

    async def advance(self, progress: float, message: str) -> None:
        """Say how far it is, if that wasn't said just now. Raises as `writing` does."""
        if self.is_time_to_tell:
            async with self.writing() as (_, task):
                task.advance(progress, message)

    async def fail(self, code: str, text: str) -> None:
        """It will not be done. Raises as `writing` does."""
        async with self.writing() as (_, task):
            task.fail(code, text, self.clock.now())


TaskHandler = Callable[[Run], Awaitable[None]]
"""Does the tasks of one kind. It completes the task in the transaction of the last thing that it brings about."""


@dataclass(frozen=True)
class RunTask:
    """Let the handler of its kind do a task, until it is done or was cancelled, and write down how it failed.

    Raises what an attempt failed by, to be tried again, and `PermanentFailure` after the last one.
    """

    begin: Begin
    reads: Reads
    clock: Clock
    kinds: Mapping[str, TaskHandler]

    async def __call__(self, job: Job) -> None:
        try:
            run = Run(self.begin, self.clock, job, await self.reads.task(job.payload[TASK_ID]))
            async with run.writing() as (_, task):
                task.begin(self.clock.now())
            await self._try(run)
        except (TaskFinished, TaskNotFound):
            return

    async def _try(self, run: Run) -> None:
        try:
            await self._until_cancelled(run.task, self.kinds[run.task.kind](run))
        except TaskImpossible as error:
            await run.fail(error.code, str(error))
        except (LeaseLost, TaskFinished, TaskNotFound):
            raise
        except Exception as error:
            if isinstance(error, Refusal) and not isinstance(error, Unavailable):
                await run.fail(error.code, f"{error}. Please see to that and start the task again")
                return
            if run.job.attempt < TRIES:
                raise
            await run.fail(*GAVE_UP)
            raise PermanentFailure(f"the task was given up: {type(error).__name__}: {error}") from error

    async def _until_cancelled(self, task: Task, doing: Awaitable[Any]) -> None:
        """Raises `TaskFinished` or `TaskNotFound` when the task was cancelled or removed, and what `doing` raises."""
        working = asyncio.ensure_future(doing)
        looking = asyncio.create_task(self._look_until_cancelled(task))
        try:
            await asyncio.wait([working, looking], return_when=asyncio.FIRST_COMPLETED)
            await (working if working.done() else looking)
        finally:
            working.cancel()
            looking.cancel()
            await asyncio.gather(working, looking, return_exceptions=True)

    async def _look_until_cancelled(self, task: Task) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            with suppress(Unavailable):
                (await self.reads.task(task.id)).must_go_on()
