import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from application.correlation import request_id, traceparent
from application.jobs import CONCURRENCY, LEASE, MOST_LASTING, POLL, RETRY_DELAYS
from application.ports.jobs import RUN_TASK, Job, NewJob, PermanentFailure
from tests.fakes import InMemoryJobs
from tests.unit.workbench import Bench, Doing, works


@pytest.fixture
def bench() -> Bench:
    return Bench()


@dataclass
class Impatient(InMemoryJobs):
    """Notes for how long a job is put back, and hands it out again at once: nobody lives through days of delays."""

    delays: list[tuple[int, timedelta]] = field(default_factory=list)
    """Each attempt that failed, and the delay after it."""

    async def put_back(self, job: Job, *, delay: timedelta, error: str | None) -> None:
        self.delays.append((job.attempt, delay))
        await super().put_back(job, delay=timedelta(), error=error)


class TestDoing:
    async def test_a_job_is_done_once_and_gone(self, bench: Bench) -> None:
        doing = works(bench, Doing())
        await bench.queue.add(NewJob("work", {"user_id": 7}))
        async with bench.working("the worker"):
            await bench.until_concluded()
        assert [(job.payload, job.attempt, job.owner) for job in doing.jobs] == [({"user_id": 7}, 1, "the worker")]
        assert bench.outcomes == ["done"]
        assert await bench.is_empty()

    async def test_a_job_that_comes_later_is_done_at_once(self, bench: Bench) -> None:
        doing = works(bench, Doing())
        async with bench.working():
            await asyncio.sleep(POLL.total_seconds() / 2)
            await bench.queue.add(NewJob("work"))
            added_at = asyncio.get_running_loop().time()
            await bench.until_concluded()
        assert doing.times == [pytest.approx(added_at)]

    async def test_each_job_runs_under_the_request_and_the_trace_that_caused_it(self, bench: Bench) -> None:
        doing = works(bench, Doing())
        for name, trace in (("request-1", "trace-1"), (None, None), ("request-2", "trace-2")):
            token = traceparent.set(trace)
            bench.queue.write_down(NewJob("work"), name)
            traceparent.reset(token)
        async with bench.working():
            await bench.until_concluded(3)
        assert doing.request_ids == ["request-1", None, "request-2"]
        assert doing.traces == ["trace-1", None, "trace-2"]
        assert (request_id.get(), traceparent.get()) == (None, None)

    async def test_no_more_than_the_hands_of_a_worker_are_done_at_once(self, bench: Bench) -> None:
        doing = works(bench, Doing())
        for number in range(3 * CONCURRENCY):
            await bench.queue.add(NewJob("work", {"lasts": 1 + number / 10}))
        async with bench.working():
            await bench.until_concluded(3 * CONCURRENCY)
        assert (doing.finished, doing.most_at_once) == (3 * CONCURRENCY, CONCURRENCY)

    @pytest.mark.parametrize(("kind", "hands"), [("work", CONCURRENCY), (RUN_TASK, MOST_LASTING)])
    async def test_a_hand_that_comes_free_takes_the_next_job_up_at_once(
        self, bench: Bench, kind: str, hands: int
    ) -> None:
        doing = works(bench, Doing(lasts=timedelta(seconds=1)), kind)
        for _ in range(2 * hands):
            await bench.queue.add(NewJob(kind))
        async with bench.working():
            await bench.until_concluded(2 * hands)
        assert doing.times == pytest.approx([0] * hands + [1] * hands)

    async def test_nothing_short_waits_behind_what_lasts(self, bench: Bench) -> None:
        lasting = works(bench, Doing(lasts=timedelta(minutes=10)), RUN_TASK)
        doing = works(bench, Doing(lasts=timedelta(seconds=0.1)))
        for _ in range(3 * CONCURRENCY):
            await bench.queue.add(NewJob(RUN_TASK))
        async with bench.working():
            await asyncio.sleep(1)
            for _ in range(2 * CONCURRENCY):
                await bench.queue.add(NewJob("work"))
            await bench.until(lambda: doing.finished == 2 * CONCURRENCY, within=timedelta(seconds=1))
            assert lasting.at_once == lasting.most_at_once == MOST_LASTING
            assert doing.most_at_once == CONCURRENCY
            await bench.until(lambda: lasting.finished == 3 * CONCURRENCY)
        assert lasting.most_at_once == MOST_LASTING

    async def test_hands_that_come_free_while_the_queue_is_asked_are_not_slept_through(self) -> None:
        class SlowToAnswer(InMemoryJobs):
            async def claim(self, *arguments: Any, **named: Any) -> Sequence[Job]:
                jobs = await super().claim(*arguments, **named)
                await asyncio.sleep(1)
                return jobs

        bench = Bench(SlowToAnswer())
        doing = works(bench, Doing(lasts=timedelta(seconds=0.5)))
        for _ in range(CONCURRENCY):
            await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: doing.at_once == CONCURRENCY)
            await bench.queue.add(NewJob("work"))
            await bench.until_concluded(CONCURRENCY + 1)
        assert doing.times[-1] - doing.times[0] < POLL.total_seconds()

    async def test_two_workers_share_the_work_and_do_nothing_twice(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=timedelta(seconds=1)))
        for _ in range(2 * CONCURRENCY):
            await bench.queue.add(NewJob("work"))
        async with bench.working("one"), bench.working("two"):
            await bench.until_concluded(2 * CONCURRENCY)
        assert len({job.id for job in doing.jobs}) == len(doing.jobs) == 2 * CONCURRENCY
        assert {job.owner for job in doing.jobs} == {"one", "two"}

    async def test_a_slow_job_keeps_its_lease_and_nobody_else_takes_it(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=20 * LEASE))
        await bench.queue.add(NewJob("work"))
        async with bench.working("one"), bench.working("two"):
            await bench.until_concluded()
        assert (len(doing.jobs), doing.finished) == (1, 1)

    async def test_a_job_whose_worker_went_silent_is_taken_up_within_its_lease_and_a_poll(self, bench: Bench) -> None:
        doing = works(bench, Doing())
        await bench.queue.add(NewJob("work"))
        await bench.queue.claim("a worker that died", limit=1, lease=LEASE)
        async with bench.working():
            await bench.until_concluded()
        assert [job.attempt for job in doing.jobs] == [2]
        assert LEASE.total_seconds() <= doing.times[0] <= (LEASE + POLL).total_seconds() < 30


class TestFailing:
    async def test_a_job_is_tried_again_with_growing_delays_and_then_kept_dead(self) -> None:
        queue = Impatient()
        bench = Bench(queue)
        doing = works(bench, Doing(failure=RuntimeError("out of order")))
        await queue.add(NewJob("work"))
        attempts = len(RETRY_DELAYS) + 1
        async with bench.working():
            await bench.until_concluded(attempts)
        assert bench.outcomes == ["retried"] * (attempts - 1) + ["dead"]
        assert [job.attempt for job in doing.jobs] == list(range(1, attempts + 1))
        for (_, put_back), delay in zip(queue.delays, RETRY_DELAYS, strict=True):
            assert 0.8 * delay <= put_back <= 1.2 * delay
        record = await bench.only_job()
        assert (record.state, record.error) == ("dead", "RuntimeError: out of order")

    async def test_what_failed_at_the_same_time_is_not_tried_again_at_the_same_time(self) -> None:
        queue = Impatient()
        bench = Bench(queue)
        works(bench, Doing(failure=RuntimeError()))
        for _ in range(2 * CONCURRENCY):
            await queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded(2 * CONCURRENCY * len(RETRY_DELAYS))
        spread = [delay / RETRY_DELAYS[attempt - 1] for attempt, delay in queue.delays]
        assert 0.8 <= min(spread) < 0.85
        assert 1.15 < max(spread) <= 1.2

    def test_the_delays_grow_up_to_one_day(self) -> None:
        assert list(RETRY_DELAYS) == sorted(RETRY_DELAYS)
        assert RETRY_DELAYS[-1] == timedelta(days=1)

    @pytest.mark.parametrize("failed_at", [0.1, 2.5, 4.9])
    async def test_the_first_retry_comes_within_ten_seconds_whenever_it_failed(
        self, bench: Bench, failed_at: float
    ) -> None:
        doing = works(bench, Doing(failure=RuntimeError(), lasts=timedelta(seconds=failed_at)))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
            doing.failure = None
            await bench.until_concluded(2)
        assert doing.pauses[0] - failed_at < 10
        assert (1.2 * RETRY_DELAYS[0] + POLL).total_seconds() < 10

    async def test_a_job_that_fails_and_then_succeeds_is_done_once(self, bench: Bench) -> None:
        doing = works(bench, Doing(failure=RuntimeError()))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded(3)
            doing.failure = None
            await bench.until_concluded(4)
        assert bench.outcomes == ["retried", "retried", "retried", "done"]
        assert await bench.is_empty()

    async def test_a_permanent_failure_is_kept_dead_at_once(self, bench: Bench) -> None:
        doing = works(bench, Doing(failure=PermanentFailure("550 no such user")))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
        assert (len(doing.jobs), bench.outcomes) == (1, ["dead"])
        assert (await bench.only_job()).error == "PermanentFailure: 550 no such user"

    async def test_a_dead_job_can_be_revived(self, bench: Bench) -> None:
        doing = works(bench, Doing(failure=PermanentFailure()))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
            doing.failure = None
            assert await bench.queue.revive((await bench.only_job()).id)
            await bench.until_concluded(2)
        assert bench.outcomes == ["dead", "done"]
        assert [job.attempt for job in doing.jobs] == [1, 1]

    async def test_a_job_that_nobody_knows_how_to_do_is_kept_dead(self, bench: Bench) -> None:
        await bench.queue.add(NewJob("unheard_of"))
        async with bench.working():
            await bench.until_concluded()
        record = await bench.only_job()
        assert (record.state, bench.outcomes) == ("dead", ["dead"])
        assert "unheard_of" in (record.error or "")

    async def test_a_job_whose_workers_died_too_often_is_kept_dead_and_not_tried(self, bench: Bench) -> None:
        doing = works(bench, Doing())
        await bench.queue.add(NewJob("work"))
        for _ in range(len(RETRY_DELAYS) + 1):
            assert await bench.queue.claim("a worker that dies", limit=1, lease=LEASE)
            bench.queue.advance(LEASE)
        async with bench.working():
            await bench.until_concluded()
        assert (doing.jobs, bench.outcomes) == ([], ["dead"])
        record = await bench.only_job()
        died = "PermanentFailure: every worker that took this job died or lost its lease"
        assert (record.state, record.error) == ("dead", died)

    async def test_one_failing_job_keeps_no_other_from_being_done(self, bench: Bench) -> None:
        works(bench, Doing())
        works(bench, Doing(failure=RuntimeError()), "broken")
        for kind in ("broken", "work", "broken", "work"):
            await bench.queue.add(NewJob(kind))
        async with bench.working():
            await bench.until_concluded(4)
        assert sorted(bench.observed) == [("broken", "retried")] * 2 + [("work", "done")] * 2

    async def test_a_handler_that_cancels_itself_has_failed(self, bench: Bench) -> None:
        doing = works(bench, Doing(failure=asyncio.CancelledError()))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
            assert (await bench.only_job()).error == "RuntimeError: the handler gave up by itself"
            doing.failure = None
            await bench.until_concluded(2)
        assert bench.outcomes == ["retried", "done"]

    async def test_an_error_is_described_briefly(self, bench: Bench) -> None:
        works(bench, Doing(failure=PermanentFailure("x" * 100_000)))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
        assert len((await bench.only_job()).error or "") == 1000
