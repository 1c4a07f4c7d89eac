import asyncio
import gc
import logging
import weakref
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from application.jobs import GRACE, HEARTBEAT, LEASE, OUTAGE_PAUSE, POLL, RETRY_DELAYS, SCHEDULED_ANEW
from application.ports.jobs import Job, NewJob, PermanentFailure
from domain.errors import Unavailable
from tests.fakes import InMemoryJobs
from tests.unit.workbench import Bench, Doing, works

HOUR = timedelta(hours=1)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def _task_of(kind: str) -> asyncio.Task[Any]:
    """The only task that does a job of that kind."""
    (task,) = (task for task in asyncio.all_tasks() if task.get_name().startswith(f"{kind} "))
    return task


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

    async def test_nothing_is_kept_of_a_job_that_was_lost(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=HOUR))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            work = weakref.ref(_task_of("work"))
            await bench.queue.cancel(doing.jobs[0].id)
            await bench.until_concluded()
            await asyncio.sleep(1)
            gc.collect()
            assert work() is None

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

    async def test_waits_for_no_more_than_a_heartbeat_for_what_will_not_be_cancelled(self, bench: Bench) -> None:
        async def stubborn(job: Job) -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(HOUR.total_seconds())
            await asyncio.sleep(HOUR.total_seconds())

        bench.handlers["work"] = stubborn
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await asyncio.sleep(1)
        assert asyncio.get_running_loop().time() == pytest.approx(1 + (GRACE + HEARTBEAT).total_seconds())

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

    async def test_leaves_a_job_that_another_worker_has_meanwhile(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=HOUR))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await asyncio.sleep(HEARTBEAT.total_seconds() / 2)
            bench.stop.set()
            await asyncio.sleep((GRACE - HEARTBEAT / 4).total_seconds())  # no heartbeat is left that would tell
            bench.queue.advance(LEASE)
            await bench.queue.claim("another worker", limit=1, lease=10 * LEASE)
            work = _task_of("work")
        assert (doing.cancelled, work.cancelled()) == (1, True), "it was cancelled, and raised nothing"
        assert (await bench.only_job()).state == "running"

    async def test_survives_that_the_queue_is_away_meanwhile(self, bench: Bench) -> None:
        doing = works(bench, Doing(lasts=HOUR))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            bench.queue.available = False
            work = _task_of("work")
        assert (doing.cancelled, work.cancelled()) == (1, True), "it was cancelled, and raised nothing"
        bench.queue.available = True
        assert (await bench.only_job()).state == "running"


class TestOutages:
    async def test_work_goes_on_when_the_queue_is_back(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
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
        told = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert [(record.getMessage(), record.exc_info) for record in told] == [
            ("the job queue can't be reached; trying again until it works", None),
            ("over: the job queue can't be reached", None),
        ]

    async def test_work_goes_on_after_an_error_that_nobody_knows_and_its_traceback_is_told(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(InMemoryJobs):
            async def claim(self, *arguments: Any, **named: Any) -> Sequence[Job]:
                if asyncio.get_running_loop().time() < POLL.total_seconds():
                    raise RuntimeError("a bug")
                return await super().claim(*arguments, **named)

        bench = Bench(Broken())
        works(bench, Doing())
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until_concluded()
        assert bench.outcomes == ["done"]
        assert caplog.text.count("RuntimeError: a bug") == 1

    async def test_a_job_under_way_outlasts_one_that_is_shorter_than_its_lease(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        doing = works(bench, Doing(lasts=4 * LEASE))
        await bench.queue.add(NewJob("work"))
        async with bench.working():
            await bench.until(lambda: len(doing.jobs) == 1)
            bench.queue.available = False
            await asyncio.sleep((LEASE - HEARTBEAT).total_seconds())
            bench.queue.available = True
            await bench.until_concluded()
        assert (bench.outcomes, len(doing.jobs)) == (["done"], 1)
        assert "a lease could not be extended" in caplog.messages
        assert all(record.exc_info is None for record in caplog.records), "an outage is told in a line"

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
            await asyncio.sleep(3 * HOUR.total_seconds())
        assert doing.most_at_once == 1
        assert len(doing.jobs) == 3

    async def test_it_comes_back_if_somebody_takes_it_out(self, bench: Bench) -> None:
        doing = works(bench, Doing(), "swept")
        bench.schedules["swept"] = HOUR
        async with bench.working():
            await bench.until_concluded()
            await bench.queue.cancel((await bench.only_job()).id)
            await bench.until_concluded(2)
        assert doing.pauses[0] <= (SCHEDULED_ANEW + POLL).total_seconds()

    async def test_whether_it_is_there_is_looked_at_now_and_then_only(self) -> None:
        class Noting(InMemoryJobs):
            async def add(self, job: NewJob) -> None:
                added.append(asyncio.get_running_loop().time())
                await super().add(job)

        added: list[float] = []
        bench = Bench(Noting())
        works(bench, Doing(), "swept")
        bench.schedules["swept"] = timedelta(seconds=1)
        async with bench.working():
            await asyncio.sleep(HOUR.total_seconds())
        pauses = [later - earlier for earlier, later in pairwise(added)]
        assert len(pauses) > 1
        for pause in pauses:
            assert SCHEDULED_ANEW.total_seconds() <= pause <= (SCHEDULED_ANEW + POLL).total_seconds()

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
        await bench.queue.add(NewJob("swept", dedupe_key="swept"))
        for _ in RETRY_DELAYS:  # the next attempt is the last
            assert await bench.queue.claim("a worker that dies", limit=1, lease=LEASE)
            bench.queue.advance(LEASE)
        async with bench.working():
            await bench.until_concluded()
            assert (await bench.only_job()).state == "waiting"
            doing.failure = None
            await bench.until_concluded(2)
        assert bench.outcomes == ["dead", "done"]
        assert [job.attempt for job in doing.jobs] == [len(RETRY_DELAYS) + 1, 1]
        assert HOUR.total_seconds() <= doing.pauses[0] <= (HOUR + POLL).total_seconds()
