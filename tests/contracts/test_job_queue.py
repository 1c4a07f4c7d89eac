"""What `application.ports.jobs.JobQueue` promises to workers, of every implementation."""

import asyncio
from datetime import timedelta

import pytest

from application.correlation import request_id, traceparent
from application.ports.jobs import RUN_TASK, LeaseLost, NewJob
from tests.contracts.queueing import LEASE, SAYINGS, added_and_claimed, claim, claim_one, records, the_record
from tests.contracts.stores import Store


class TestClaiming:
    async def test_a_job_comes_as_it_was_added(self, store: Store) -> None:
        payload = {"text": "Zoë 🧮\n'\"", "number": 2**53, "list": [1, None, True, {"a": 0.5}]}
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        tokens = request_id.set("request-1"), traceparent.set(trace)
        await store.jobs.add(NewJob("work", payload))
        request_id.reset(tokens[0])
        traceparent.reset(tokens[1])

        job = await claim_one(store, "the owner")

        assert (job.kind, job.payload, job.attempt) == ("work", payload, 1)
        assert (job.owner, job.request_id, job.traceparent) == ("the owner", "request-1", trace)

    async def test_there_is_nothing_to_claim_in_an_empty_queue(self, store: Store) -> None:
        assert await claim(store) == []

    async def test_nobody_else_gets_a_job_under_its_lease(self, store: Store) -> None:
        await added_and_claimed(store)
        await store.let_pass(LEASE - timedelta(seconds=30))

        assert await claim(store, "another") == []
        assert await claim(store, "a worker") == []

    async def test_no_more_than_the_limit_is_taken(self, store: Store) -> None:
        for _ in range(5):
            await store.jobs.add(NewJob("work"))

        assert [len(await claim(store, limit=2)) for _ in range(4)] == [2, 2, 1, 0]

    async def test_what_may_last_is_counted_apart(self, store: Store) -> None:
        for kind in ("work", RUN_TASK) * 3:
            await store.jobs.add(NewJob(kind))

        claimed = [await store.jobs.claim("w", limit=n, lasting=m, lease=LEASE) for n, m in ((1, 2), (0, 0), (2, 0))]

        kinds = [sorted(job.kind for job in jobs) for jobs in claimed]
        assert kinds == [[RUN_TASK, RUN_TASK, "work"], [], ["work", "work"]]
        assert await store.jobs.claim("w", limit=5, lasting=0, lease=LEASE) == []
        assert [job.kind for job in await claim(store)] == [RUN_TASK]

    async def test_what_is_longest_due_is_taken_first(self, store: Store) -> None:
        for delay in (30, 10, 20, 0):
            await store.jobs.add(NewJob(f"after {delay}", delay=timedelta(seconds=delay)))
        await store.let_pass(timedelta(minutes=1))

        kinds = [(await claim_one(store, limit=1)).kind for _ in range(4)]

        assert kinds == ["after 0", "after 10", "after 20", "after 30"]

    async def test_each_of_many_jobs_goes_to_one_of_many_claimers(self, store: Store) -> None:
        for _ in range(50):
            await store.jobs.add(NewJob("work"))

        async def claim_all(owner: str) -> list[str]:
            taken: list[str] = []
            while jobs := await claim(store, owner, limit=3):
                assert len(jobs) <= 3
                taken += [job.id for job in jobs]
            return taken

        taken = [id_ for ids in await asyncio.gather(*(claim_all(f"worker {n}") for n in range(20))) for id_ in ids]

        # One that finds the others just claiming may leave early, so a last look takes what is left
        taken += [job.id for job in await claim(store)]
        assert len(taken) == len(set(taken)) == 50

    async def test_a_delayed_job_is_not_due_before(self, store: Store) -> None:
        await store.jobs.add(NewJob("work", delay=timedelta(hours=1)))
        assert await claim(store) == []
        await store.let_pass(timedelta(minutes=59))
        assert await claim(store) == []

        await store.let_pass(timedelta(minutes=1))

        assert (await claim_one(store)).attempt == 1


class TestLeases:
    async def test_a_job_whose_lease_ran_out_goes_to_another_as_its_next_attempt(self, store: Store) -> None:
        lost = await added_and_claimed(store)
        await store.let_pass(LEASE)

        taken = await claim_one(store, "another")

        assert (taken.id, taken.attempt, taken.owner) == (lost.id, 2, "another")

    async def test_what_may_last_and_was_left_by_its_worker_goes_before_all_that_waits(self, store: Store) -> None:
        for _ in range(3):
            await store.jobs.add(NewJob(RUN_TASK))
        left = await claim_one(store, limit=1)
        await store.let_pass(LEASE)

        assert [(await claim_one(store, "another", limit=1)).id == left.id for _ in range(3)] == [True, False, False]

    @pytest.mark.parametrize("saying", SAYINGS)
    async def test_who_lost_the_lease_to_another_can_say_nothing_of_the_job(self, store: Store, saying: str) -> None:
        lost = await added_and_claimed(store)
        await store.let_pass(LEASE)
        taken = await claim_one(store, "another")
        before = await the_record(store)

        with pytest.raises(LeaseLost):
            await SAYINGS[saying](store, lost)

        after = await the_record(store)
        assert (after.state, after.attempt, after.error) == (before.state, before.attempt, before.error)
        assert await claim(store) == []
        await store.jobs.finish(taken)
        assert await records(store) == []

    @pytest.mark.parametrize("saying", SAYINGS)
    async def test_who_took_the_job_up_again_can_say_nothing_of_the_earlier_attempt(
        self, store: Store, saying: str
    ) -> None:
        lost = await added_and_claimed(store)
        await store.let_pass(LEASE)
        again = await claim_one(store, lost.owner)

        with pytest.raises(LeaseLost):
            await SAYINGS[saying](store, lost)

        await store.jobs.finish(again)
        assert await records(store) == []

    @pytest.mark.parametrize("said", [name for name in SAYINGS if name != "extend"])
    @pytest.mark.parametrize("saying", SAYINGS)
    async def test_once_it_has_been_said_how_it_ended_nothing_more_can_be(
        self, store: Store, said: str, saying: str
    ) -> None:
        job = await added_and_claimed(store)
        await SAYINGS[said](store, job)
        before = [(record.state, record.attempt, record.error) for record in await records(store)]

        with pytest.raises(LeaseLost):
            await SAYINGS[saying](store, job)

        assert [(record.state, record.attempt, record.error) for record in await records(store)] == before

    async def test_a_lease_that_ran_out_still_holds_while_nobody_else_took_the_job(self, store: Store) -> None:
        job = await added_and_claimed(store)
        await store.let_pass(2 * LEASE)

        await store.jobs.extend(job, LEASE)

        assert await claim(store, "another") == []

    async def test_an_extended_lease_lasts_from_now(self, store: Store) -> None:
        job = await added_and_claimed(store)
        await store.let_pass(LEASE * 0.9)
        await store.jobs.extend(job, LEASE)
        await store.let_pass(LEASE * 0.9)
        assert await claim(store, "another") == []

        await store.let_pass(LEASE * 0.1)

        assert (await claim_one(store, "another")).attempt == 2


class TestConcluding:
    async def test_a_finished_job_is_gone(self, store: Store) -> None:
        await store.jobs.finish(await added_and_claimed(store))

        assert await records(store) == []
        await store.let_pass(10 * LEASE)
        assert await claim(store) == []

    async def test_a_job_that_failed_is_tried_again_after_the_delay_and_the_attempt_counts(self, store: Store) -> None:
        job = await added_and_claimed(store)
        await store.jobs.put_back(job, delay=timedelta(minutes=5), error="out of order")
        record = await the_record(store)
        assert (record.state, record.attempt, record.error) == ("waiting", 1, "out of order")
        await store.let_pass(timedelta(minutes=4))
        assert await claim(store) == []

        await store.let_pass(timedelta(minutes=1))

        assert (await claim_one(store, "another")).attempt == 2

    async def test_without_an_error_the_attempt_does_not_count(self, store: Store) -> None:
        failed = await added_and_claimed(store)
        await store.jobs.put_back(failed, delay=timedelta(), error="out of order")

        await store.jobs.put_back(await claim_one(store), delay=timedelta(), error=None)

        record = await the_record(store)
        assert (record.attempt, record.error) == (1, "out of order")
        assert (await claim_one(store)).attempt == 2

    async def test_a_repeated_job_comes_again_after_the_delay_as_if_new(self, store: Store) -> None:
        failed = await added_and_claimed(store)
        await store.jobs.put_back(failed, delay=timedelta(), error="out of order")

        await store.jobs.repeat(await claim_one(store), delay=timedelta(hours=1))

        record = await the_record(store)
        assert (record.state, record.attempt, record.error) == ("waiting", 0, None)
        assert await claim(store) == []
        await store.let_pass(timedelta(hours=1))
        assert (await claim_one(store)).attempt == 1

    async def test_a_buried_job_is_kept_and_never_done(self, store: Store) -> None:
        await store.jobs.bury(await added_and_claimed(store), error="no such address")

        await store.let_pass(timedelta(days=365))

        assert await claim(store) == []
        record = await the_record(store)
        assert (record.state, record.attempt, record.error) == ("dead", 1, "no such address")
