"""What there may be any number of goes in batches, so that no transaction lasts long."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from application.items import CreateItem
from application.tasks import CancelTask
from application.uploads import Upload
from domain.events import ItemDeleted
from domain.idempotency import Attempt, KeptAnswer
from domain.tasks import TaskKind, TaskStatus
from domain.users import Actor
from tests.builders import World, a_job
from tests.unit.failing_ports import Fuse

BATCH = 3
MANY = 2 * BATCH + 1
LONG = timedelta(days=31)
"""By then everything has expired that ever does."""


async def an_item(world: World, ada: Actor, number: int) -> None:
    await CreateItem(world.store.begin, world.clock)(ada, title=f"{number}", description=None)


async def a_change(world: World, ada: Actor, number: int) -> None:
    async with world.store.begin() as work:
        work.announce(ItemDeleted(number, ada.user.id))


async def a_file(world: World, ada: Actor, number: int) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"%d" % number

    async def uploads() -> AsyncIterator[Upload]:
        yield Upload("a.txt", "text/plain", content())

    await world.store_files(ada, uploads())


async def an_upload(world: World, ada: Actor, number: int) -> None:
    await world.create_upload(ada, length=number, filename="a.txt", declared_type=None, metadata="")


async def a_task(world: World, ada: Actor, _: int) -> None:
    await world.start_task(ada, TaskKind.EXPORT_ACCOUNT, {})


async def a_task_that_ended(world: World, ada: Actor, _: int) -> None:
    task = await world.start_task(ada, TaskKind.EXPORT_ACCOUNT, {})
    await CancelTask(world.store.begin, world.clock)(ada, task.id)


async def an_answer(world: World, ada: Actor, number: int) -> None:
    async with world.store.begin() as work:
        await work.kept_answers.add(KeptAnswer(Attempt(ada.user.id, f"key {number}", "print"), "the answer"))


@dataclass(frozen=True)
class Removal:
    """`job` empties `table`, as many rows at once as the `BATCH` of `module`, of what `make` makes one by one."""

    job: str
    module: str
    table: str
    make: Callable[[World, Actor, int], Awaitable[None]]


@pytest.mark.parametrize(
    "removal",
    [
        Removal("remove_items_of_user", "items", "items", an_item),
        Removal("remove_changes_of_user", "changes", "changes", a_change),
        Removal("remove_files_of_user", "files", "files", a_file),
        Removal("remove_uploads_of_user", "resumable_removal", "uploads", an_upload),
        Removal("remove_tasks_of_user", "tasks", "tasks", a_task),
        Removal("sweep_resumable_uploads", "resumable_removal", "uploads", an_upload),
        Removal("sweep_expired", "sweeping", "tasks", a_task_that_ended),
        Removal("sweep_expired", "sweeping", "answers", an_answer),
        Removal("sweep_expired", "sweeping", "changes", a_change),
    ],
    ids=lambda removal: f"{removal.job}, {removal.table}",
)
async def test_any_number_is_removed_a_batch_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch, removal: Removal
) -> None:
    monkeypatch.setattr(f"application.{removal.module}.BATCH", BATCH)
    ada = Actor(await world.has(), "a session")
    for number in range(MANY):
        await removal.make(world, ada, number)
    world.clock.advance(LONG)

    left = [world.store.rows[removal.table]]
    fuse = Fuse(on_commit=lambda: left.append(world.store.rows[removal.table]))
    handler: Any = world.handlers[removal.job]
    await replace(handler, begin=fuse.wire_begin(world.store.begin))(a_job(removal.job, user_id=ada.user.id))

    assert (left[0], left[-1]) == (MANY, 0)
    assert max(before - after for before, after in pairwise(left)) == BATCH


async def test_tasks_that_nobody_will_do_are_settled_a_batch_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.tasks.BATCH", BATCH)
    ada = Actor(await world.has(), "a session")
    tasks = [await world.start_task(ada, TaskKind.EXPORT_ACCOUNT, {}) for _ in range(BATCH + 1)]
    for job in await world.store.jobs.list_jobs(state=None, limit=BATCH + 1):
        await world.store.jobs.cancel(job.id)

    open_ = []
    for _ in range(2):
        await world.handlers["settle_tasks"](a_job("settle_tasks"))
        statuses = [(await world.store.task(task.id)).status for task in tasks]
        open_.append(statuses.count(TaskStatus.STARTED))
    assert open_ == [1, 0]
