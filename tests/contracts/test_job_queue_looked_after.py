"""What `application.ports.jobs.JobQueue` promises to who looks after the jobs, adds them or waits for them."""

import asyncio
from datetime import timedelta

import pytest

from application.correlation import request_id
from application.ports.jobs import RUN_TASK, TASK_ID, LeaseLost, NewJob, QueueFigures
from tests.contracts.queueing import LEASE, SAYINGS, added_and_claimed, claim, claim_one, records, the_record
from tests.contracts.stores import Store


class TestLookingAfter:
    async def test_a_revived_job_is_tried_again_as_if_new(self, store: Store) -> None:
        job = await added_and_claimed(store)
        await store.jobs.bury(job, error="no such address")

        assert await store.jobs.revive(job.id) is True

        record = await the_record(store)
        assert (record.state, record.attempt, record.error) == ("waiting", 0, None)
        assert (await claim_one(store)).attempt == 1

    async def test_only_a_dead_job_can_be_revived(self, store: Store) -> None:
        await store.jobs.add(NewJob("work"))
        waiting = await the_record(store)
        assert await store.jobs.revive(waiting.id) is False
        job = await claim_one(store)
        assert await store.jobs.revive(job.id) is False
        assert await store.jobs.revive("unheard-of") is False

        await store.jobs.finish(job)

    async def test_a_waiting_job_that_is_cancelled_is_gone(self, store: Store) -> None:
        await store.jobs.add(NewJob("work"))
        job_id = (await the_record(store)).id

        assert await store.jobs.cancel(job_id) is True
        assert await store.jobs.cancel(job_id) is False

        assert await claim(store) == []

    @pytest.mark.parametrize("saying", SAYINGS)
    async def test_the_worker_of_a_job_that_is_cancelled_finds_out(self, store: Store, saying: str) -> None:
        job = await added_and_claimed(store)

        assert await store.jobs.cancel(job.id) is True

        with pytest.raises(LeaseLost):
            await SAYINGS[saying](store, job)
        assert await records(store) == []

    async def test_a_dead_job_can_be_cancelled(self, store: Store) -> None:
        job = await added_and_claimed(store)
        await store.jobs.bury(job, error="no such address")

        assert await store.jobs.cancel(job.id) is True

        assert await records(store) == []

    async def test_the_jobs_are_listed_oldest_first_with_their_states(self, store: Store) -> None:
        for kind in ("to be buried", "to be running", "to be waiting"):
            await store.jobs.add(NewJob(kind))
            await store.let_pass(timedelta(minutes=1))
            if kind == "to be buried":
                await store.jobs.bury(await claim_one(store), error="no such address")
            elif kind == "to be running":
                await claim_one(store, lease=timedelta(hours=1))

        listed = await records(store)

        assert [(record.kind, record.state) for record in listed] == [
            ("to be buried", "dead"),
            ("to be running", "running"),
            ("to be waiting", "waiting"),
        ]
        assert [round(record.age_seconds / 60) for record in listed] == [3, 2, 1]
        assert [len(await records(store, state)) for state in ("waiting", "running", "dead")] == [1, 1, 1]
        assert [record.kind for record in await store.jobs.list_jobs(state=None, limit=2)] == [
            "to be buried",
            "to be running",
        ]

    async def test_the_figures_of_an_empty_queue_are_zero(self, store: Store) -> None:
        figures = await store.jobs.figures()

        assert figures == QueueFigures(depth=0, age_seconds=0, dead=0, running=0, retrying=0)

    async def test_the_figures_count_what_could_be_done_now_and_since_when(self, store: Store) -> None:
        await store.jobs.add(NewJob("dead"))
        await store.jobs.bury(await claim_one(store), error="no such address")
        await store.jobs.add(NewJob("due", delay=timedelta(minutes=1)))
        await store.jobs.add(NewJob("due later", delay=timedelta(minutes=3)))
        await store.jobs.add(NewJob("not due", delay=timedelta(days=1)))
        await store.let_pass(timedelta(minutes=5))

        figures = await store.jobs.figures()

        assert (figures.depth, round(figures.age_seconds / 60), figures.dead) == (2, 4, 1)

    async def test_what_is_running_and_what_has_failed_is_counted_apart(self, store: Store) -> None:
        for number in range(4):
            await store.jobs.add(NewJob(f"work {number}"))
        failed, lost, scheduled, running = sorted(await claim(store), key=lambda job: job.kind)
        await store.jobs.put_back(failed, delay=timedelta(days=1), error="not now")
        await store.jobs.put_back(lost, delay=timedelta(days=1), error=None)
        await store.jobs.repeat(scheduled, delay=timedelta(days=1))

        figures = await store.jobs.figures()
        assert (figures.depth, figures.running, figures.retrying, figures.dead) == (0, 1, 1, 0)

        await store.let_pass(LEASE)
        figures = await store.jobs.figures()
        assert (figures.depth, figures.running, figures.retrying) == (1, 0, 1)
        await claim_one(store)
        assert (await store.jobs.figures()).running == 1
        assert running.kind == "work 3"

    async def test_one_job_is_shown_with_what_it_is_about_and_not_what_that_says(self, store: Store) -> None:
        reset = request_id.set("mine.1")
        await store.jobs.add(NewJob("work", {"user_id": 1, "email": "ada@example.org"}, delay=timedelta(minutes=2)))
        request_id.reset(reset)
        job_id = (await the_record(store)).id

        waiting = await store.jobs.find(job_id)
        await store.let_pass(timedelta(minutes=5))
        due = await store.jobs.find(job_id)
        job = await claim_one(store)
        running = await store.jobs.find(job_id)
        await store.jobs.bury(job, error="no such address")
        dead = await store.jobs.find(job_id)

        assert waiting is not None and due is not None and running is not None and dead is not None
        assert (waiting.request_id, list(waiting.payload_keys)) == ("mine.1", ["user_id", "email"])
        assert "ada" not in repr(waiting)
        assert waiting.task_id is None
        assert [one.record.state for one in (waiting, due, running, dead)] == ["waiting", "waiting", "running", "dead"]
        assert [round((one.due_in_seconds or 0) / 60) for one in (waiting, due, running)] == [2, -3, 60]
        assert dead.due_in_seconds is None
        assert [one.owner for one in (due, running, dead)] == [None, "a worker", None]
        assert (dead.record.kind, dead.record.attempt, dead.record.error) == ("work", 1, "no such address")
        assert await store.jobs.find("unheard-of") is None

    async def test_a_job_that_does_a_task_says_which(self, store: Store) -> None:
        await store.jobs.add(NewJob(RUN_TASK, {TASK_ID: "a task", "owner_id": 1}))

        job = await store.jobs.find((await the_record(store)).id)

        assert job is not None
        assert job.task_id == "a task"

    async def test_a_job_under_way_counts_again_once_its_lease_ran_out(self, store: Store) -> None:
        await added_and_claimed(store)
        assert (await store.jobs.figures()).depth == 0

        await store.let_pass(LEASE + timedelta(minutes=2))

        figures = await store.jobs.figures()
        assert (figures.depth, round(figures.age_seconds / 60)) == (1, 2)


class TestDedupeKeys:
    async def test_while_one_of_the_same_key_is_there_no_other_is_added(self, store: Store) -> None:
        keyed = NewJob("sweep", dedupe_key="sweep")
        await store.jobs.add(keyed)
        await store.jobs.add(keyed)
        job = await claim_one(store)
        await store.jobs.add(keyed)
        await store.jobs.repeat(job, delay=timedelta(hours=1))
        await store.jobs.add(keyed)

        assert len(await records(store)) == 1

    async def test_many_who_add_one_at_once_make_one(self, store: Store) -> None:
        await asyncio.gather(*(store.jobs.add(NewJob("sweep", dedupe_key="sweep")) for _ in range(20)))

        assert len(await records(store)) == 1

    async def test_other_keys_and_none_keep_nobody_away(self, store: Store) -> None:
        for key in ("one", "two", None, None):
            await store.jobs.add(NewJob("work", dedupe_key=key))

        assert len(await records(store)) == 4

    async def test_when_it_is_gone_the_next_is_added(self, store: Store) -> None:
        await store.jobs.add(NewJob("sweep", dedupe_key="sweep"))
        await store.jobs.finish(await claim_one(store))

        await store.jobs.add(NewJob("sweep", dedupe_key="sweep"))

        assert len(await claim(store)) == 1


class TestWaiting:
    async def test_it_ends_when_something_was_added(self, store: Store) -> None:
        await store.jobs.wait(timedelta(milliseconds=10))  # on PostgreSQL this one begins to listen
        waiting = asyncio.create_task(store.jobs.wait(timedelta(seconds=600)))
        await asyncio.sleep(0)

        await store.jobs.add(NewJob("work"))

        async with asyncio.timeout(60):
            await waiting
        assert len(await claim(store)) == 1

    async def test_it_ends_after_its_time_when_nothing_was_added(self, store: Store) -> None:
        async with asyncio.timeout(60):
            for _ in range(3):
                await store.jobs.wait(timedelta(milliseconds=10))

    async def test_nothing_that_is_added_before_the_first_wait_is_slept_through(self, store: Store) -> None:
        assert await claim(store) == []
        await store.jobs.add(NewJob("work"))

        async with asyncio.timeout(60):
            await store.jobs.wait(timedelta(seconds=600))

    async def test_a_wait_that_is_given_up_takes_nothing_from_the_next(self, store: Store) -> None:
        await store.jobs.wait(timedelta(milliseconds=10))
        given_up = asyncio.create_task(store.jobs.wait(timedelta(seconds=600)))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        waiting = asyncio.create_task(store.jobs.wait(timedelta(seconds=600)))

        await store.jobs.add(NewJob("work"))

        async with asyncio.timeout(60):
            await waiting
