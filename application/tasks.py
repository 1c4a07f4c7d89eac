"""Starting tasks, looking at them, and cancelling them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.persistence import Also, Begin, Reads
from application.ports.security import Secrets
from application.sessions import own_account
from domain.events import TaskStarted, TaskUpdated
from domain.pages import Page, PageRequest
from domain.tasks import Task, TaskId, TaskKind, must_have_place
from domain.users import Actor

BATCH: Final = 500
"""Tasks that a transaction changes at most, so that none of them lasts long."""
GAVE_UP: Final = (
    "internal_error",
    "Something went wrong on our side, each time it was tried. Please start the task again; if it fails again, tell us "
    "its id",
)
"""What a task that failed without its owner's fault says: code and text."""


@dataclass(frozen=True)
class StartTask:
    """Write a task down, to be done by a worker. `also`, if it is given, is done in the same transaction.

    Raises `TooManyTasks`, `InvalidAccessToken` when the account was deleted meanwhile, or `FileNotFound` for an import
    of a file that is nobody's or somebody else's.
    """

    begin: Begin
    reads: Reads
    secrets: Secrets
    clock: Clock

    async def __call__(
        self, actor: Actor, kind: TaskKind, params: Mapping[str, Any], *, also: Also[Task] | None = None
    ) -> Task:
        if kind is TaskKind.IMPORT_ITEMS:
            (await self.reads.file(params["file_id"])).must_belong_to(actor)
        task = Task(
            id=TaskId(self.secrets.new_id()),
            owner_id=actor.user.id,
            kind=kind,
            params=params,
            created_at=self.clock.now(),
        )
        async with self.begin() as work:
            await own_account(work, actor)  # held until the commit: of several starts at once, each counts those before
            must_have_place(await work.tasks.unfinished_of(actor.user.id))
            task = await work.tasks.add(task)
            work.announce(TaskStarted(task.id, task.owner_id))
            work.announce(TaskUpdated(task))
            if also is not None:
                await also(work, task)
        return task


@dataclass(frozen=True)
class GetTask:
    """Raises `TaskNotFound`."""

    reads: Reads

    async def __call__(self, actor: Actor, task_id: str) -> Task:
        task = await self.reads.task(task_id)
        task.must_belong_to(actor)
        return task


@dataclass(frozen=True)
class ListTasks:
    """One's own tasks, newest first."""

    reads: Reads

    async def __call__(self, actor: Actor, request: PageRequest) -> Page[Task]:
        return await self.reads.tasks(actor.user.id, request)


@dataclass(frozen=True)
class CancelTask:
    """From now on the task brings nothing more about; a worker that is at it leaves it within two seconds.

    Raises `TaskNotFound` or `TaskFinished`.
    """

    begin: Begin
    clock: Clock

    async def __call__(self, actor: Actor, task_id: str) -> None:
        async with self.begin() as work:
            task = await work.tasks.get(task_id)
            task.must_belong_to(actor)
            task.cancel(self.clock.now())
            await work.tasks.save(task)
            work.announce(TaskUpdated(task))


@dataclass(frozen=True)
class SettleTasks:
    """Tasks that no job will ever do have failed: their workers died too often, or an operator cancelled their job."""

    begin: Begin
    clock: Clock

    async def __call__(self, _: Job) -> None:
        async with self.begin() as work:
            for task_id in await work.tasks.forsaken(limit=BATCH):
                task = await work.tasks.get(task_id)
                task.fail(*GAVE_UP, self.clock.now())
                await work.tasks.save(task)
                work.announce(TaskUpdated(task))


@dataclass(frozen=True)
class RemoveTasksOfUser:
    """The reaction to `UserDeleted`: in batches. A worker that is at one of them leaves it."""

    begin: Begin

    async def __call__(self, job: Job) -> None:
        removed = BATCH
        while removed >= BATCH:
            async with self.begin() as work:
                removed = await work.tasks.delete_owned_by(job.payload["user_id"], limit=BATCH)
