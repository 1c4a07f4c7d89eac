import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from application.jobs import CONCURRENCY, GRACE, HEARTBEAT, LEASE, OUTAGE_PAUSE, POLL, RETRY_DELAYS, Handler, Worker
from application.ports.clock import request_id
from application.ports.jobs import Job, JobRecord, NewJob, PermanentFailure
from domain.errors import Unavailable
from tests.fakes import InMemoryJobs

HOUR = timedelta(hours=1)


@dataclass
class Bench:
    """A queue, a worker on it, and what came of its jobs. Time is the event loop's, which is virtual here."""

    queue: InMemoryJobs = field(default_factory=InMemoryJobs)
    handlers: dict[str, Handler] = field(default_factory=dict)
    schedules: dict[str, timedelta] = field(default_factory=dict)
    outcomes: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def working(self, name: str = "a worker") -> AsyncIterator[None]:
        """A worker runs in the block, and is told to stop at its end."""
        worker = Worker(name, self.queue, self.handlers, self.schedules, self._observe)
        running = asyncio.create_task(worker.run(self.stop))
        try:
            yield
        finally:
            self.stop.set()
            await running

    def _observe(self, kind: str, outcome: str) -> None:
        self.outcomes.append(outcome)
        self.news.set()

    async def until(self, condition: Callable[[], bool], *, within: timedelta = timedelta(days=30)) -> None:
        async with asyncio.timeout(within.total_seconds()):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def until_concluded(self, number: int = 1) -> None:
        await self.until(lambda: len(self.outcomes) >= number)

    async def only_job(self) -> JobRecord:
        (record,) = await self.queue.list_jobs(state=None, limit=10)
        return record

    async def is_empty(self) -> bool:
        return not await self.queue.list_jobs(state=None, limit=1)


@dataclass
class Doing:
    """A handler that notes what it was given and when, and does as it is told."""

    failure: BaseException | None = None
    lasts: timedelta = timedelta()
    jobs: list[Job] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)
    cancelled: int = 0
    finished: int = 0
    at_once: int = 0
    most_at_once: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        self.times.append(asyncio.get_running_loop().time())
        self.request_ids.append(request_id.get())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.news.set()
        try:
            await asyncio.sleep(self.lasts.total_seconds())
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        if self.failure is not None:
            raise self.failure
        self.finished += 1
        self.news.set()

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def works(bench: Bench, doing: Doing, kind: str = "work") -> Doing:
    bench.handlers[kind] = doing
    doing.news = bench.news
    return doing


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

    async def test_each_job_runs_under_the_request_that_caused_it(self, bench: Bench) -> None:
        doing = works(bench, Doing())
        for name in ("request-1", None, "request-2"):
            bench.queue.write_down(NewJob("work"), name)
        async with bench.working():
            await bench.until_concluded(3)
        assert doing.request_ids == ["request-1", None, "request-2"]
        assert request_id.get() is None

    async def test_no_more_than_the_hands_of_a_worker_are_done_at_once(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=timedelta(seconds=1)))
        for _ in range(3 * CONCURRENCY):
            await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded(3 * CONCURRENCY)
        assert (doing.finished, doing.most_at_once) == (3 * CONCURRENCY, CONCURRENCY)

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
    async def test_a_job_is_tried_again_with_growing_delays_and_then_kept_dead(self, bench: Bench) -> None:
        doing = works(bench, Doing(failure=RuntimeError("out of order")))
        await bench.queue.add(NewJob("work"))
        attempts = len(RETRY_DELAYS) + 1
        async with bench.working():
            await bench.until_concluded(attempts)
        assert bench.outcomes == ["retried"] * (attempts - 1) + ["dead"]
        assert [job.attempt for job in doing.jobs] == list(range(1, attempts + 1))
        for pause, delay in zip(doing.pauses, RETRY_DELAYS, strict=True):
            assert 0.8 * delay.total_seconds() <= pause <= 1.2 * delay.total_seconds() + POLL.total_seconds() + 1
        record = await bench.only_job()
        assert (record.state, record.error) == ("dead", "RuntimeError: out of order")

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
        assert (await bench.only_job()).state == "dead"

    async def test_one_failing_job_keeps_no_other_from_being_done(self, bench: Bench) -> None:
        works(bench, Doing())
        works(bench, Doing(failure=RuntimeError()), "broken")
        for kind in ("broken", "work", "broken", "work"):
            await bench.queue.add(NewJob(kind))
        async with bench.working():
            await bench.until_concluded(4)
        assert sorted(bench.outcomes) == ["done", "done", "retried", "retried"]

    async def test_a_handler_that_cancels_itself_has_failed(self, bench: Bench) -> None:
        doing = works(bench, Doing(failure=asyncio.CancelledError()))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
            doing.failure = None
            await bench.until_concluded(2)
        assert bench.outcomes == ["retried", "done"]

    async def test_an_error_is_described_briefly(self, bench: Bench) -> None:
        works(bench, Doing(failure=PermanentFailure("x" * 100_000)))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
        assert len((await bench.only_job()).error or "") == 1000


class TestLosingTheLease:
    async def test_a_cancelled_job_stops_within_a_heartbeat_and_nothing_is_concluded(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=HOUR))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            assert await bench.queue.cancel(doing.jobs[0].id)
            cancelled_at = asyncio.get_running_loop().time()
            await bench.until_concluded()
            assert asyncio.get_running_loop().time() - cancelled_at <= HEARTBEAT.total_seconds() + 0.1
        assert (bench.outcomes, doing.cancelled, doing.finished) == (["lost"], 1, 0)
        assert await bench.is_empty()

    async def test_a_job_that_another_worker_took_is_left_to_that_one(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=HOUR))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            bench.queue.advance(LEASE)
            (taken,) = await bench.queue.claim("another worker", limit=1, lease=10 * LEASE)
            await bench.until_concluded()
            assert (bench.outcomes, doing.cancelled) == (["lost"], 1)
            record = await bench.only_job()
            assert (record.state, record.attempt, record.error) == ("running", 2, None)
            await bench.queue.finish(taken)

    @pytest.mark.parametrize("failure", [None, RuntimeError(), PermanentFailure()])
    async def test_whoever_finishes_after_its_lease_says_nothing_of_the_job(
        self, bench: Bench, failure: BaseException | None
    ) -> None:
        doing = works(bench, Doing(failure=failure, lasts=HEARTBEAT / 2))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            bench.queue.advance(LEASE)
            await bench.queue.claim("another worker", limit=1, lease=10 * LEASE)
            await bench.until_concluded()
        record = await bench.only_job()
        assert (bench.outcomes, record.state, record.error) == (["lost"], "running", None)


class TestStopping:
    async def test_lets_the_jobs_under_way_finish_and_takes_no_more(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=GRACE / 2))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            bench.stop.set()
            await bench.queue.add(NewJob("work"))
        assert (doing.finished, doing.cancelled, bench.outcomes) == (1, 0, ["done"])
        assert (await bench.only_job()).attempt == 0

    async def test_puts_back_what_lasts_too_long_without_counting_the_attempt(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=HOUR))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            stopped_at = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - stopped_at == pytest.approx(GRACE.total_seconds(), abs=0.1)
        assert (doing.cancelled, doing.finished) == (1, 0)
        record = await bench.only_job()
        assert (record.state, record.attempt, record.error) == ("waiting", 0, None)
        assert (await bench.queue.figures()).depth == 1

    async def test_is_done_at_once_while_nothing_is_under_way(self, bench: Bench) -> None:
        async with bench.working():
            await asyncio.sleep(POLL.total_seconds() / 2)
            stopped_at = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() == stopped_at

    async def test_is_done_at_once_while_the_queue_is_away(self, bench: Bench) -> None:
        bench.queue.available = False
        async with bench.working():
            await asyncio.sleep(OUTAGE_PAUSE.total_seconds() / 2)
            stopped_at = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() == stopped_at

    async def test_survives_that_the_queue_is_away_meanwhile(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=HOUR))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            bench.queue.available = False
        assert doing.cancelled == 1
        bench.queue.available = True
        assert (await bench.only_job()).state == "running"


class TestOutages:
    async def test_work_goes_on_when_the_queue_is_back(self, bench: Bench) -> None:
        works(bench, Doing())
        bench.schedules["swept"] = HOUR
        works(bench, Doing(), "swept")
        bench.queue.available = False
        async with bench.working():
            await asyncio.sleep(60)
            bench.queue.available = True
            await bench.queue.add(NewJob("work"))
            await bench.until_concluded(2)
        assert bench.outcomes == ["done", "done"]

    async def test_a_job_under_way_outlasts_one_that_is_shorter_than_its_lease(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=4 * LEASE))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            bench.queue.available = False
            await asyncio.sleep((LEASE - HEARTBEAT).total_seconds())
            bench.queue.available = True
            await bench.until_concluded()
        assert (bench.outcomes, len(doing.jobs)) == (["done"], 1)

    async def test_a_job_whose_end_could_not_be_written_down_is_done_again(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=timedelta(seconds=1)))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            bench.queue.available = False
            await bench.until(lambda: doing.finished == 1)
            await asyncio.sleep(1)
            assert bench.outcomes == []
            bench.queue.available = True
            await bench.until_concluded()
        assert (bench.outcomes, [job.attempt for job in doing.jobs]) == (["done"], [1, 2])

    async def test_a_handler_that_meets_one_is_tried_again(self, bench: Bench) -> None:
        doing = works(bench, Doing(failure=Unavailable()))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
            doing.failure = None
            await bench.until_concluded(2)
        assert bench.outcomes == ["retried", "done"]


class TestSchedules:
    async def test_what_is_scheduled_is_done_at_once_and_then_again_and_again(self, bench: Bench) -> None:
        doing = works(bench, Doing(), "swept")
        bench.schedules["swept"] = HOUR
        async with bench.working():
            await bench.until_concluded(4)
        assert doing.times[0] == 0
        for pause in doing.pauses:
            assert HOUR.total_seconds() <= pause <= (HOUR + POLL).total_seconds()
        assert [job.attempt for job in doing.jobs] == [1, 1, 1, 1]

    async def test_it_is_done_once_however_many_workers_there_are(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=timedelta(minutes=1)), "swept")
        bench.schedules["swept"] = HOUR
        async with bench.working("one"), bench.working("two"), bench.working("three"):
            await asyncio.sleep(10 * HOUR.total_seconds())
        assert doing.most_at_once == 1
        assert len(doing.jobs) == 10

    async def test_it_survives_the_workers(self, bench: Bench) -> None:
        doing = works(bench, Doing(), "swept")
        bench.schedules["swept"] = HOUR
        for number in (1, 2):
            async with bench.working():
                await bench.until_concluded(number)
            bench.stop.clear()
            bench.queue.advance(HOUR)
        assert len(doing.jobs) == 2

    @pytest.mark.parametrize("failure", [PermanentFailure("never"), RuntimeError("not now")])
    async def test_it_never_dies(self, bench: Bench, failure: Exception) -> None:
        doing = works(bench, Doing(failure=failure), "swept")
        bench.schedules["swept"] = HOUR
        async with bench.working():
            await bench.until(lambda: bench.outcomes.count("dead") == 2)
            assert (await bench.only_job()).state == "waiting"
            doing.failure = None
            await bench.until(lambda: "done" in bench.outcomes)
        assert (await bench.queue.figures()).dead == 0
