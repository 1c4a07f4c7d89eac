import asyncio
from datetime import timedelta

import pytest

from application.idempotency import DoOnce
from application.ports.jobs import LeaseLost, PermanentFailure
from application.ports.persistence import Also
from application.task_runs import TRIES, Run, RunTask
from application.tasks import GAVE_UP, CancelTask, GetTask, ListTasks
from domain.events import TaskStarted, TaskUpdated, UserDeleted
from domain.files import FileNotFound, FileTooLarge, QuotaExceeded
from domain.idempotency import Attempt
from domain.pages import PageRequest
from domain.tasks import KEPT, Task, TaskFinished, TaskImpossible, TaskKind, TaskNotFound, TaskStatus, TooManyTasks
from domain.users import Actor
from tests.builders import World, a_job
from tests.fakes import InMemoryJobs

EXPORT = TaskKind.EXPORT_ACCOUNT


async def an_actor(world: World, email: str = "ada@example.org") -> Actor:
    return Actor(await world.has(email), "a session")


async def start(world: World, actor: Actor, also: Also[Task] | None = None) -> Task:
    return await world.start_task(actor, EXPORT, {}, also=also)


async def cancel(world: World, actor: Actor, task: Task) -> None:
    await CancelTask(world.store.begin, world.clock)(actor, task.id)


class Kind:
    """What does the tasks of a kind: fails as it is told, as often as it is told, and then completes the task."""

    def __init__(self, world: World, *failures: Exception) -> None:
        self.world = world
        self.failures = list(failures)
        self.runs: list[Run] = []

    async def __call__(self, run: Run) -> None:
        self.runs.append(run)
        await run.advance(40, "At it")
        if self.failures:
            raise self.failures.pop(0)
        async with run.writing() as (_, task):
            task.complete({"n": 1}, "Done", self.world.clock.now())

    @property
    def run_task(self) -> RunTask:
        return RunTask(self.world.store.begin, self.world.store, self.world.clock, {EXPORT: self})


async def attempt(world: World, kind: Kind) -> None:
    """What a worker does with the one job there is, but for its retries."""
    queue: InMemoryJobs = world.store.jobs
    (job,) = [job for job in await queue.claim("w", limit=9, lease=timedelta(minutes=1)) if job.kind == "run_task"]
    try:
        await kind.run_task(job)
    except PermanentFailure as failure:
        await queue.bury(job, error=str(failure))
        raise
    except Exception as failure:
        await queue.put_back(job, delay=timedelta(), error=str(failure))
        raise
    await queue.finish(job)


class TestStarting:
    async def test_a_task_waits_with_a_job_of_its_own(self, world: World) -> None:
        ada = await an_actor(world)
        task = await start(world, ada)
        assert (task.status, task.progress, task.attempts) == (TaskStatus.STARTED, 0, 0)
        assert await GetTask(world.store)(ada, task.id) == task
        assert [job.kind for job in await world.store.jobs.list_jobs(state=None, limit=9)] == ["run_task"]
        assert world.store.announced == [TaskStarted(task.id, ada.user.id), TaskUpdated(task)]

    async def test_nobody_imports_a_file_of_somebody_else(self, world: World) -> None:
        with pytest.raises(FileNotFound):
            await world.start_task(await an_actor(world), TaskKind.IMPORT_ITEMS, {"file_id": 4711})

    async def test_one_has_no_more_than_a_hundred_that_have_not_ended(self, world: World) -> None:
        ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
        tasks = [await start(world, ada) for _ in range(100)]
        with pytest.raises(TooManyTasks):
            await start(world, ada)
        await start(world, bob)
        await cancel(world, ada, tasks[7])
        await start(world, ada)
        with pytest.raises(TooManyTasks):
            await start(world, ada)

    async def test_a_task_started_twice_under_one_key_is_one(self, world: World) -> None:
        ada = await an_actor(world)
        once = DoOnce(world.store.begin, world.store)

        async def start_under(also: Also[Task]) -> Task:
            return await start(world, ada, also)

        def the_id(task: Task) -> str:
            return task.id

        first, second = [await once(Attempt(ada.user.id, "key", "print"), start_under, the_id) for _ in range(2)]
        assert (first[0], second[1]) == (second[0], True)
        assert len((await ListTasks(world.store)(ada, PageRequest())).items) == 1

    async def test_others_tasks_are_as_if_they_did_not_exist(self, world: World) -> None:
        ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
        task = await start(world, ada)
        with pytest.raises(TaskNotFound):
            await GetTask(world.store)(bob, task.id)
        with pytest.raises(TaskNotFound):
            await cancel(world, bob, task)
        assert (await ListTasks(world.store)(bob, PageRequest())).items == []


class TestDoing:
    async def test_a_task_is_done_and_says_so(self, world: World) -> None:
        task = await start(world, await an_actor(world))
        world.clock.advance(timedelta(minutes=1))
        await attempt(world, Kind(world))
        done = await world.store.task(task.id)
        assert (done.status, done.progress, done.message) == (TaskStatus.COMPLETED, 100, "Done")
        assert (done.result, done.error, done.attempts) == ({"n": 1}, None, 1)
        assert done.started_at == done.finished_at == world.clock.now() > done.created_at

    async def test_a_task_may_take_its_time(self, world: World) -> None:
        task = await start(world, await an_actor(world))

        class Slow(Kind):
            async def __call__(self, run: Run) -> None:
                await asyncio.sleep(3600)
                await super().__call__(run)

        await attempt(world, Slow(world))
        assert (await world.store.task(task.id)).status is TaskStatus.COMPLETED

    async def test_progress_never_falls_and_is_100_at_the_end_only(self, world: World) -> None:
        task = await start(world, await an_actor(world))
        task.begin(world.clock.now())
        seen = []
        for progress in (10, 5, 99.9, 100, 250, 0):
            task.advance(progress, "At it")
            seen.append(task.progress)
        assert seen == [10, 10, 99, 99, 99, 99]

    async def test_progress_is_announced_once_a_second_at_most(self, world: World) -> None:
        ada = await an_actor(world)
        task = await start(world, ada)

        class Chatty(Kind):
            async def __call__(self, run: Run) -> None:
                for n in range(100):
                    await run.advance(n, "At it")
                    world.clock.advance(timedelta(seconds=0.1))
                await super().__call__(run)

        before = len(world.store.announced)
        await attempt(world, Chatty(world))
        told = [event.task for event in world.store.announced[before:] if isinstance(event, TaskUpdated)]
        assert 10 <= len(told) <= 14
        assert [task.message for task in told] == [None, *["At it"] * (len(told) - 2), "Done"]
        assert (await world.store.task(task.id)).status is TaskStatus.COMPLETED

    async def test_what_fails_unexpectedly_is_tried_again(self, world: World) -> None:
        task = await start(world, await an_actor(world))
        kind = Kind(world, RuntimeError("boom"))
        with pytest.raises(RuntimeError):
            await attempt(world, kind)
        assert (await world.store.task(task.id)).status is TaskStatus.RUNNING
        await attempt(world, kind)
        done = await world.store.task(task.id)
        assert (done.status, done.attempts) == (TaskStatus.COMPLETED, 2)

    async def test_what_fails_again_and_again_has_failed(self, world: World) -> None:
        task = await start(world, await an_actor(world))
        kind = Kind(world, *[RuntimeError("boom")] * TRIES)
        for _ in range(TRIES - 1):
            with pytest.raises(RuntimeError):
                await attempt(world, kind)
        with pytest.raises(PermanentFailure, match=r"^the task was given up: RuntimeError: boom$"):
            await attempt(world, kind)
        failed = await world.store.task(task.id)
        assert (failed.status, failed.error, failed.message) == (TaskStatus.FAILED, *GAVE_UP)
        assert "boom" not in str(failed)

    @pytest.mark.parametrize(
        ("failure", "code", "says"),
        [
            (TaskImpossible("wrong_header", "Please correct the file"), "wrong_header", "Please correct the file"),
            (QuotaExceeded(), "quota_exceeded", "Delete some files first"),
            (FileTooLarge(9), "file_too_large", "File size exceeds 9 bytes. Please"),
        ],
    )
    async def test_what_a_person_can_do_about_it_is_said_at_once(
        self, world: World, failure: Exception, code: str, says: str
    ) -> None:
        task = await start(world, await an_actor(world))
        await attempt(world, Kind(world, failure))
        failed = await world.store.task(task.id)
        assert (failed.status, failed.error, failed.attempts) == (TaskStatus.FAILED, code, 1)
        assert failed.finished_at == world.clock.now()
        assert says in (failed.message or "")

    async def test_a_task_that_has_ended_is_not_done_again(self, world: World) -> None:
        task = await start(world, await an_actor(world))
        kind, lease = Kind(world), timedelta(minutes=1)
        for owner in ("one that dies at the very end", "another"):
            (job,) = await world.store.jobs.claim(owner, limit=9, lease=lease)
            await kind.run_task(job)
            world.store.jobs.advance(lease)
        assert len(kind.runs) == (await world.store.task(task.id)).attempts == 1

    async def test_a_worker_that_lost_its_job_writes_nothing(self, world: World) -> None:
        task = await start(world, await an_actor(world))
        lease = timedelta(minutes=1)
        (late,) = await world.store.jobs.claim("late", limit=9, lease=lease)
        world.store.jobs.advance(lease)
        (job,) = await world.store.jobs.claim("another", limit=9, lease=lease)
        kind = Kind(world)
        with pytest.raises(LeaseLost):
            await kind.run_task(late)
        assert (await world.store.task(task.id)).attempts == 0
        await kind.run_task(job)
        assert len(kind.runs) == 1


class TestCancelling:
    async def test_a_task_that_waits_is_never_begun(self, world: World) -> None:
        ada = await an_actor(world)
        task = await start(world, ada)
        await cancel(world, ada, task)
        kind = Kind(world)
        await attempt(world, kind)
        cancelled = await world.store.task(task.id)
        assert (cancelled.status, cancelled.attempts, kind.runs) == (TaskStatus.CANCELLED, 0, [])
        assert (cancelled.message, cancelled.finished_at) == ("Cancelled", world.clock.now())
        assert world.store.announced[-1] == TaskUpdated(cancelled)

    async def test_a_task_under_way_stops_within_two_seconds_and_brings_nothing_more_about(self, world: World) -> None:
        ada = await an_actor(world)
        task = await start(world, ada)
        begun = asyncio.Event()
        stopped_at = 0.0

        class Endless(Kind):
            async def __call__(self, run: Run) -> None:
                nonlocal stopped_at
                begun.set()
                try:
                    await asyncio.sleep(3600)
                finally:
                    await asyncio.sleep(0.5)  # as tidying up may take
                    stopped_at = asyncio.get_running_loop().time()

        doing = asyncio.create_task(attempt(world, Endless(world)))
        await begun.wait()
        cancelled_at = asyncio.get_running_loop().time()
        await cancel(world, ada, task)
        await doing
        assert 0 < stopped_at - cancelled_at < 2
        assert (await world.store.task(task.id)).status is TaskStatus.CANCELLED

    async def test_what_has_ended_can_not_be_cancelled(self, world: World) -> None:
        ada = await an_actor(world)
        task = await start(world, ada)
        await attempt(world, Kind(world))
        with pytest.raises(TaskFinished):
            await cancel(world, ada, task)
        assert (await world.store.task(task.id)).status is TaskStatus.COMPLETED


class TestNothingIsStuck:
    async def test_a_task_whose_job_died_or_is_gone_has_failed(self, world: World) -> None:
        ada = await an_actor(world)
        lost, dead, waiting = [await start(world, ada) for _ in range(3)]
        jobs = await world.store.jobs.claim("w", limit=9, lease=timedelta(minutes=1))
        by_task = {job.payload["task_id"]: job for job in jobs}
        await world.store.jobs.cancel(by_task[lost.id].id)
        await world.store.jobs.bury(by_task[dead.id], error="every worker that took this job died")
        await world.handlers["settle_tasks"](a_job("settle_tasks"))
        for task in (lost, dead):
            failed = await world.store.task(task.id)
            assert (failed.status, failed.error, failed.message) == (TaskStatus.FAILED, *GAVE_UP)
            assert failed.finished_at == world.clock.now()
        assert (await world.store.task(waiting.id)).status is TaskStatus.STARTED

    async def test_the_tasks_of_a_deleted_user_are_removed_and_left_by_their_workers(self, world: World) -> None:
        ada = await an_actor(world)
        task = await start(world, ada)
        async with world.store.begin() as work:
            await work.users.delete(ada.user.id)
            work.announce(UserDeleted(ada.user.id))
        await world.do_jobs()
        with pytest.raises(TaskNotFound):
            await world.store.task(task.id)
        assert ("run_task", "done") in world.outcomes

    async def test_what_ended_long_ago_is_swept(self, world: World) -> None:
        ada = await an_actor(world)
        ended, open_ = await start(world, ada), await start(world, ada)
        await cancel(world, ada, ended)

        async def left_by_the_sweep() -> list[str]:
            await world.handlers["sweep_expired"](a_job("sweep_expired"))
            return [task.id for task in (await world.store.tasks(ada.user.id, PageRequest())).items]

        world.clock.advance(KEPT - timedelta(seconds=1))
        assert await left_by_the_sweep() == [open_.id, ended.id]
        world.clock.advance(timedelta(seconds=1))
        assert await left_by_the_sweep() == [open_.id]
