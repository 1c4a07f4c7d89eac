"""Every call of every port fails in what is done with tasks, and while they are done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import pytest

from application import imports
from application.ports.jobs import PermanentFailure
from application.task_runs import TRIES
from application.tasks import GAVE_UP, CancelTask, GetTask, ListTasks
from application.uploads import Upload
from application.users import DeleteUser
from domain.pages import PageRequest
from domain.tasks import TaskKind, TaskStatus
from tests.builders import a_job
from tests.unit.failing_ports import Fuse, PortFailed
from tests.unit.failing_runs import (
    must_be_tidy,
    must_fit_together,
    must_survive_any_failure,
    sweep,
    undisturbed,
    wired,
)
from tests.unit.failing_scenes import Case, Do, Scene, at_once, chunks, handler, on_store

EXPORT: Final = TaskKind.EXPORT_ACCOUNT
IMPORT: Final = TaskKind.IMPORT_ITEMS
ROWS: Final = b"title,description\nrow 1,\nrow 2,of two\n,without a title\nrow 3,\nrow 4,\n"
LEASE: Final = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "BATCH_ROWS", 2)


async def has_rows(scene: Scene) -> None:
    async def sent() -> AsyncIterator[Upload]:
        yield Upload("items.csv", "text/csv", chunks(ROWS))

    (scene.files["rows"],) = await scene.world.store_files(scene.ada, sent())


async def has_export(scene: Scene) -> None:
    await has_rows(scene)
    scene.tasks[EXPORT] = await scene.world.start_task(scene.ada, EXPORT, {})


async def has_import(scene: Scene) -> None:
    await has_rows(scene)
    scene.tasks[IMPORT] = await scene.world.start_task(scene.ada, IMPORT, _the_rows(scene))


async def has_tasks(scene: Scene) -> None:
    await has_import(scene)
    scene.tasks[EXPORT] = await scene.world.start_task(scene.ada, EXPORT, {})


async def has_forsaken_tasks(scene: Scene) -> None:
    """Their jobs were cancelled."""
    await has_tasks(scene)
    for job in await scene.store.jobs.list_jobs(state=None, limit=9):
        await scene.store.jobs.cancel(job.id)
    scene.forsaken |= {task.id for task in scene.tasks.values()}


def _the_rows(scene: Scene) -> dict[str, Any]:
    return {"file_id": scene.files["rows"].id}


async def the_next_job(scene: Scene, do: Do) -> None:
    """What a worker does with the job of the task, and when it failed."""
    queue = scene.store.jobs
    for job in await queue.claim("a worker", limit=0, lease=LEASE, lasting=1):
        try:
            await do(job)
        except PermanentFailure as failure:
            await queue.bury(job, error=str(failure))
            raise
        except (PortFailed, asyncio.CancelledError) as failure:
            await queue.put_back(job, delay=timedelta(), error=str(failure) or None)
            raise
        await queue.finish(job)


CASES: Final[dict[str, Case]] = {
    "start an export": Case(lambda s: s.world.start_task, lambda s, do: do(s.ada, EXPORT, {})),
    "start an export once": at_once(Case(lambda s: s.world.start_task, lambda s, do: do(s.ada, EXPORT, {}))),
    "start an import": Case(lambda s: s.world.start_task, lambda s, do: do(s.ada, IMPORT, _the_rows(s)), has_rows),
    "get a task": on_store(GetTask, lambda s, do: do(s.ada, s.tasks[EXPORT].id), prepare=has_export, once=True),
    "list tasks": on_store(ListTasks, lambda s, do: do(s.ada, PageRequest()), prepare=has_export, once=True),
    "cancel a task": Case(
        lambda s: CancelTask(s.store.begin, s.world.clock), lambda s, do: do(s.ada, s.tasks[EXPORT].id), has_export
    ),
    "export": Case(lambda s: s.world.run_task, the_next_job, has_export, goes_on=True, once=True),
    "import": Case(lambda s: s.world.run_task, the_next_job, has_import, once=True),
    "settle tasks": handler("settle_tasks", lambda s: {}, prepare=has_forsaken_tasks, once=True),
    "remove tasks": handler("remove_tasks_of_user", lambda s: {"user_id": s.ada.user.id}, prepare=has_tasks, once=True),
    "delete somebody who has tasks": Case(
        lambda s: DeleteUser(s.store.begin), lambda s, do: do(s.root, s.ada.user.id), has_tasks
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_whichever_call_fails_no_task_is_half_done_and_it_is_done_in_the_end(case: Case) -> None:
    await must_survive_any_failure(case)


@pytest.mark.parametrize(
    "fuse", [Fuse(), Fuse(afterwards=True), Fuse(stays_blown=True)], ids=["at once", "lost", "outage"]
)
@pytest.mark.parametrize("kind", [EXPORT, IMPORT])
async def test_a_task_whose_last_try_fails_at_any_call_has_ended_and_says_so(kind: TaskKind, fuse: Fuse) -> None:
    case = CASES["export" if kind is EXPORT else "import"]
    for number in range(len((await undisturbed(case)).calls)):
        scene = await case.scene()
        await _try_in_vain(scene)
        blown = Fuse(number, fuse.afterwards, fuse.stays_blown)
        with suppress(PortFailed, PermanentFailure):
            await wired(scene, blown, case)[1]()
        await must_fit_together_once_settled(scene)
        task = await scene.store.task(scene.tasks[kind].id)
        assert task.status is TaskStatus.COMPLETED or (task.error, task.message) == GAVE_UP
        await sweep(scene)
        must_be_tidy(scene)


async def _try_in_vain(scene: Scene) -> None:
    """All tries but the last one."""
    for _ in range(TRIES - 1):
        (job,) = await scene.store.jobs.claim("a worker", limit=0, lease=LEASE, lasting=1)
        await scene.store.jobs.put_back(job, delay=timedelta(), error="no luck")


async def must_fit_together_once_settled(scene: Scene) -> None:
    """What is left to be done is done, and tasks without a job have failed."""
    await scene.world.do_jobs()
    await scene.world.handlers["settle_tasks"](a_job("settle_tasks"))
    await must_fit_together(scene)
    assert all(task.has_ended for task in scene.state()["tasks"].values())
