"""Tasks, and how far files have been imported: on SQLite, on PostgreSQL and in memory."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from application.ports.jobs import Job, LeaseLost
from domain.events import TaskStarted
from domain.files import Claim, File
from domain.imports import Import, RowError
from domain.pages import PageRequest
from domain.sessions import InvalidAccessToken
from domain.tasks import Task, TaskId, TaskKind, TaskNotFound
from domain.users import User
from tests.contracts.queueing import LEASE, claim, claim_one
from tests.contracts.stores import Store

SHA256 = "ab" * 32


def a_task(store: Store, owner: User, task_id: str = "task-1", **changes: Any) -> Task:
    values: dict[str, Any] = {"kind": TaskKind.IMPORT_ITEMS, "params": {"file_id": 7}, "created_at": store.clock.now()}
    return Task(id=TaskId(task_id), owner_id=owner.id, **(values | changes))


async def has_task(store: Store, owner: User, task_id: str = "task-1", **changes: Any) -> Task:
    async with store.begin() as work:
        task = await work.tasks.add(a_task(store, owner, task_id, **changes))
        work.announce(TaskStarted(task.id, task.owner_id))
    return task


async def save(store: Store, task: Task) -> None:
    async with store.begin() as work:
        await work.tasks.save(task)


async def forsaken(store: Store) -> list[str]:
    async with store.begin() as work:
        return list(await work.tasks.forsaken(limit=100))


async def has_file(store: Store, owner: User) -> File:
    now = store.clock.now()
    async with store.begin() as work:
        await work.blobs.claim([Claim("claim", SHA256, 1, now)])
        file = File(filename="a.csv", content_type="text/csv", size=1, sha256=SHA256, owner_id=owner.id, created_at=now)
        return await work.files.add(file)


async def test_a_task_is_read_as_it_was_added(store: Store) -> None:
    added = await has_task(store, await store.has())
    assert added.number > 0
    assert await store.reads.task("task-1") == added
    async with store.begin() as work:
        assert await work.tasks.get("task-1") == added


async def test_a_saved_task_is_read_as_it_was_saved(store: Store) -> None:
    task = await has_task(store, await store.has())
    store.clock.advance(timedelta(minutes=1))
    task.begin(store.clock.now())
    task.advance(40, "Zoë is at it")
    await save(store, task)
    assert await store.reads.task(task.id) == task
    task.complete({"created": 7, "errors": [{"line": 2, "reason": "é"}]}, "Done", store.clock.now())
    await save(store, task)
    assert await store.reads.task(task.id) == task


async def test_those_of_a_user_that_have_not_ended_are_counted(store: Store) -> None:
    ada, bob = await store.has("ada@example.org"), await store.has("bob@example.org")
    ended = [await has_task(store, ada, f"ended-{n}") for n in range(2)]
    ended[0].complete({}, "Done", store.clock.now())
    ended[1].cancel(store.clock.now())
    running = await has_task(store, ada, "running")
    running.begin(store.clock.now())
    for task in (*ended, running):
        await save(store, task)
    await has_task(store, ada, "started")
    await has_task(store, bob, "another's")
    async with store.begin() as work:
        assert [await work.tasks.unfinished_of(user_id) for user_id in (ada.id, bob.id, 4711)] == [2, 1, 0]


async def test_there_is_no_task_that_was_not_added(store: Store) -> None:
    with pytest.raises(TaskNotFound):
        await store.reads.task("task-1")
    async with store.begin() as work:
        with pytest.raises(TaskNotFound):
            await work.tasks.get("task-1")


async def test_nobody_who_is_gone_gets_a_task(store: Store) -> None:
    ada = await store.has()
    async with store.begin() as work:
        await work.users.delete(ada.id)
    with pytest.raises(InvalidAccessToken):
        await has_task(store, ada)
    assert await claim(store) == []


async def test_the_tasks_of_a_user_are_listed_newest_first(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    for n in range(5):
        await has_task(store, ada, f"task-{n}")
    await has_task(store, bob, "other")
    first = await store.reads.tasks(ada.id, PageRequest(limit=2))
    assert ([task.id for task in first.items], first.total) == (["task-4", "task-3"], 5)
    second = await store.reads.tasks(ada.id, PageRequest(limit=3, after=first.next_key))
    assert [task.id for task in second.items] == ["task-2", "task-1", "task-0"]
    assert (second.total, second.next_key) == (None, None)
    skipped = await store.reads.tasks(ada.id, PageRequest(limit=2, skip=4))
    assert ([task.id for task in skipped.items], skipped.next_key) == (["task-0"], None)


async def test_tasks_are_removed_with_their_owner_or_once_they_are_old_so_many_at_a_time(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    for n in range(3):
        await has_task(store, ada, f"task-{n}")
        ended = await has_task(store, bob, f"old-{n}")
        ended.cancel(store.clock.now())
        await save(store, ended)
    before = store.clock.now()
    store.clock.advance(timedelta(seconds=1))
    late = await has_task(store, bob, "late")
    late.cancel(store.clock.now())
    await save(store, late)
    await has_task(store, bob, "unfinished", created_at=before)
    async with store.begin() as work:
        removed = [await work.tasks.delete_owned_by(ada.id, limit=2) for _ in range(2)]
        swept = [await work.tasks.sweep(before, limit=2) for _ in range(2)]
    assert (removed, swept) == ([2, 1], [2, 1])
    assert (await store.reads.tasks(ada.id, PageRequest())).items == []
    left = await store.reads.tasks(bob.id, PageRequest())
    assert [task.id for task in left.items] == ["unfinished", "late"]


async def test_a_task_without_a_job_that_could_do_it_is_forsaken(store: Store) -> None:
    ada = await store.has()
    for name in ("waiting", "running", "dead", "cancelled", "finished"):
        await has_task(store, ada, name)
    jobs = {job.payload["task_id"]: job for job in await claim(store)}
    await store.jobs.put_back(jobs["waiting"], delay=timedelta(hours=1), error="late")
    await store.jobs.bury(jobs["dead"], error="late")
    await store.jobs.cancel(jobs["cancelled"].id)
    ended = await store.reads.task("finished")
    ended.complete({}, "Done", store.clock.now())
    await save(store, ended)
    await store.jobs.finish(jobs["finished"])
    assert sorted(await forsaken(store)) == ["cancelled", "dead"]


class TestHolding:
    async def job(self, store: Store) -> Job:
        await has_task(store, await store.has())
        return await claim_one(store)

    async def test_whoever_has_the_job_may_hold_it(self, store: Store) -> None:
        job = await self.job(store)
        async with store.begin() as work:
            await work.hold(job)
        await store.jobs.extend(job, LEASE)

    async def test_whoever_lost_it_writes_nothing(self, store: Store) -> None:
        job = await self.job(store)
        await store.let_pass(LEASE)
        await claim_one(store, "another")
        task = await store.reads.task("task-1")
        task.begin(store.clock.now())
        with pytest.raises(LeaseLost):
            async with store.begin() as work:
                await work.tasks.save(task)
                await work.hold(job)
        assert (await store.reads.task("task-1")).attempts == 0

    async def test_nobody_takes_a_job_that_is_held_though_its_lease_ran_out(self, store: Store) -> None:
        job = await self.job(store)
        await store.let_pass(2 * LEASE)
        async with store.begin() as work:
            await work.hold(job)
            claiming = asyncio.create_task(claim(store, "another"))
            await asyncio.wait([claiming], timeout=0.3)
            assert not claiming.done() or claiming.result() == []
        await claiming
        taken = claiming.result() or await claim(store, "another")
        assert [job.attempt for job in taken] == [2]

    async def test_its_lease_can_be_extended_meanwhile(self, migrated_postgres_url: str, sql_store: Store) -> None:
        job = await self.job(sql_store)
        async with sql_store.begin() as work:
            await work.hold(job)
            extending = asyncio.create_task(sql_store.jobs.extend(job, LEASE))
            await asyncio.wait([extending], timeout=0.3)
        await extending


async def test_the_state_of_an_import_begins_at_the_beginning(store: Store) -> None:
    file = await has_file(store, await store.has())
    assert await store.reads.import_of(file.id) == Import(file_id=file.id)
    async with store.begin() as work:
        assert await work.imports.get(file.id) == Import(file_id=file.id)
    assert await store.reads.import_of(file.id) == Import(file_id=file.id)


async def test_the_state_of_an_import_is_read_as_it_was_saved(store: Store) -> None:
    file = await has_file(store, await store.has())
    async with store.begin() as work:
        state = await work.imports.get(file.id)
        state.take(created=2**40, errors=[RowError(2, "Zoë")], position=2**41, line=3)
        state.finished = True
        await work.imports.save(state)
    assert await store.reads.import_of(file.id) == state
    async with store.begin() as work:
        assert await work.imports.get(file.id) == state


async def test_of_several_that_begin_an_import_at_once_each_sees_what_the_others_did(store: Store) -> None:
    file = await has_file(store, await store.has())

    async def take_one() -> None:
        async with store.begin() as work:
            state = await work.imports.get(file.id)
            state.take(created=1, errors=(), position=state.position + 1, line=1)
            await work.imports.save(state)

    await asyncio.gather(*(take_one() for _ in range(8)))
    assert (await store.reads.import_of(file.id)).created == 8


async def test_the_state_of_an_import_goes_with_its_file_and_is_not_brought_back(store: Store) -> None:
    file = await has_file(store, await store.has())
    async with store.begin() as work:
        state = await work.imports.get(file.id)
        state.finished = True
        await work.imports.save(state)
    async with store.begin() as work:
        await work.files.delete(file.id)
        await work.imports.save(state)
    assert not (await store.reads.import_of(file.id)).finished


async def test_saving_a_task_that_is_gone_does_not_bring_it_back(store: Store) -> None:
    ada = await store.has()
    task = await has_task(store, ada)
    async with store.begin() as work:
        assert await work.tasks.delete_owned_by(ada.id, limit=1) == 1
        await work.tasks.save(task)
    with pytest.raises(TaskNotFound):
        await store.reads.task(task.id)
