"""Doing the background work: the loop that every process with a worker runs."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

from application.correlation import request_id, traceparent
from application.outages import Outage
from application.ports.jobs import RUN_TASK, Job, JobQueue, LeaseLost, NewJob, PermanentFailure
from domain.errors import Unavailable

LEASE: Final = timedelta(seconds=15)
"""How long a worker may be silent before another one takes its jobs up."""
HEARTBEAT: Final = LEASE / 3
POLL: Final = timedelta(seconds=5)
"""How often to look for work when nothing wakes the worker: what was put back, or left by a worker that died."""
SCHEDULED_ANEW: Final = timedelta(minutes=10)
CONCURRENCY: Final = 16
MOST_LASTING: Final = 4
"""How many of those jobs that may last for hours a worker does at once, beside the others."""
GRACE: Final = timedelta(seconds=20)
"""How long the jobs under way may go on once the worker has been told to stop; then they go back to the queue."""
RETRY_DELAYS: Final = tuple(timedelta(seconds=min(4**n, 86_400)) for n in range(1, 10))
"""4 s, 16 s, 64 s and so on up to one day: two days in all. The first and `POLL` together make less than 10 s."""
OUTAGE_PAUSE: Final = timedelta(seconds=1)

Handler = Callable[[Job], Awaitable[None]]
Observer = Callable[[str, str], None]
"""Is told the kind of each job that was worked on, and its outcome: `done`, `retried`, `dead` or `lost`."""

log = logging.getLogger(__name__)


@dataclass
class Worker:
    """Claims jobs and gives each to the handler of its kind.

    `schedules` are kinds that are done again and again, by one worker at a time, with the given pause between.
    """

    name: str
    queue: JobQueue
    handlers: Mapping[str, Handler]
    schedules: Mapping[str, timedelta]
    observe: Observer
    lease: timedelta = LEASE
    heartbeat: timedelta = HEARTBEAT
    poll: timedelta = POLL
    _schedule_at: float = 0.0
    _under_way: dict[asyncio.Task[None], Job] = field(default_factory=dict)
    _leased: dict[asyncio.Task[None], Job] = field(default_factory=dict)
    """Those under way whose handler has not ended yet: their leases are extended."""
    _lost: set[asyncio.Task[None]] = field(default_factory=set)
    """Those that are being stopped, since somebody else may have their jobs by now."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then let what is under way finish, or put it back."""
        stopping = asyncio.create_task(stop.wait())
        keeping = asyncio.create_task(self._keep_leases(), name="leases")
        outage = Outage(log, "the job queue can't be reached")
        try:
            while not stop.is_set():
                try:
                    await self._schedule()
                    await self._take_up(stopping)
                    outage.is_over()
                except Exception as error:  # whatever it is, the work must go on
                    outage.goes_on(error)
                    await asyncio.wait([stopping], timeout=OUTAGE_PAUSE.total_seconds())
        finally:
            stopping.cancel()
            await self._wind_up()
            keeping.cancel()

    async def _take_up(self, stopping: asyncio.Task[bool]) -> None:
        """Start as many jobs as there are, and hands for them; rest if there are none."""
        busy = self._lacking_hands()
        lasting = self._lasting()
        free, free_for_lasting = CONCURRENCY - len(self._under_way) + lasting, MOST_LASTING - lasting
        jobs = await self.queue.claim(self.name, limit=free, lease=self.lease, lasting=free_for_lasting)
        for job in jobs:
            task = asyncio.create_task(self._work(job), name=f"{job.kind} {job.id}")
            self._under_way[task] = job
            task.add_done_callback(self._forget)
        lacking = self._lacking_hands()
        if not jobs or lacking:
            await self._rest(stopping, {*busy, *lacking})

    async def _schedule(self) -> None:
        """See now and then that what is scheduled is in the queue, even if somebody has taken it out."""
        now = asyncio.get_running_loop().time()
        if now >= self._schedule_at:
            for kind in self.schedules:
                await self.queue.add(NewJob(kind, dedupe_key=kind))
            self._schedule_at = now + SCHEDULED_ANEW.total_seconds()

    async def _rest(self, stopping: asyncio.Task[bool], hands: Collection[asyncio.Task[None]]) -> None:
        """Wait until there may be something to do: news of the queue, or one of the hands that is free again."""
        news = asyncio.create_task(self.queue.wait(self.poll))
        await asyncio.wait([stopping, news, *hands], return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        await asyncio.gather(news, return_exceptions=True)

    def _lacking_hands(self) -> Collection[asyncio.Task[None]]:
        """What is under way, if that keeps other jobs from being taken up."""
        lasting = self._lasting()
        is_lacking = lasting >= MOST_LASTING or len(self._under_way) - lasting >= CONCURRENCY
        return list(self._under_way) if is_lacking else ()

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._lost.discard(task)

    def _lasting(self) -> int:
        return sum(job.kind == RUN_TASK for job in self._under_way.values())

    async def _wind_up(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=GRACE.total_seconds())
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self.heartbeat.total_seconds())

    async def _work(self, job: Job) -> None:
        """Do one job, and say how it ended."""
        request_id.set(job.request_id)
        traceparent.set(job.traceparent)
        try:
            failure = await self._failure_of(job)
            self._report(job, await self._conclude(job, failure))
        except asyncio.CancelledError:
            if asyncio.current_task() not in self._lost:
                with suppress(LeaseLost, Unavailable):
                    await self.queue.put_back(job, delay=timedelta(), error=None)
                raise
            self._report(job, "lost")
        except LeaseLost:
            self._report(job, "lost")
        except Unavailable:
            log.warning("the outcome of a job could not be written down; it will be done again", extra={"job": job.id})

    async def _failure_of(self, job: Job) -> Exception | None:
        """What came of doing it, its lease being extended meanwhile. Raises `LeaseLost`."""
        task = asyncio.current_task()
        assert task is not None  # this is a coroutine
        self._leased[task] = job
        try:
            await self._do(job)
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            if task.cancelling():
                raise
            return RuntimeError("the handler gave up by itself")
        except Exception as failure:
            return failure
        finally:
            del self._leased[task]
        return None

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self.heartbeat.total_seconds())
            await asyncio.gather(*(self._keep_lease(task, job) for task, job in self._leased.items()))

    async def _keep_lease(self, task: asyncio.Task[None], job: Job) -> None:
        """Extend it, or stop the job if somebody else may have it by now."""
        try:
            await self.queue.extend(job, self.lease)
        except LeaseLost:
            if task in self._leased:  # else it has just come to its end, and there was nothing more to extend
                self._lost.add(task)
                task.cancel()
        except Exception as error:  # the lease may outlast it
            known = isinstance(error, Unavailable)
            log.warning("a lease could not be extended", exc_info=None if known else error, extra={"job": job.id})

    async def _do(self, job: Job) -> None:
        handler = self.handlers.get(job.kind)
        if handler is None:
            raise PermanentFailure(f"no handler for jobs of kind {job.kind!r}")
        if job.attempt > len(RETRY_DELAYS) + 1:
            raise PermanentFailure("every worker that took this job died or lost its lease")
        await handler(job)

    async def _conclude(self, job: Job, failure: BaseException | None) -> str:
        if failure is None:
            await self._put_away(job, self.queue.finish)
            return "done"
        delays = RETRY_DELAYS[job.attempt - 1 : job.attempt]
        if isinstance(failure, PermanentFailure) or not delays:
            log.error("a job failed for good", exc_info=failure, extra={"job": job.id, "kind": job.kind})
            await self._put_away(job, partial(self.queue.bury, error=_described(failure)))
            return "dead"
        jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, guards nothing
        await self.queue.put_back(job, delay=delays[0] * jitter, error=_described(failure))
        return "retried"

    async def _put_away(self, job: Job, put_away: Handler) -> None:
        """What is done on a schedule comes round again, however it went this time."""
        if job.kind in self.schedules:
            await self.queue.repeat(job, delay=self.schedules[job.kind])
        else:
            await put_away(job)

    def _report(self, job: Job, outcome: str) -> None:
        log.log(
            logging.INFO if outcome == "done" else logging.WARNING,
            "job %s",
            outcome,
            extra={"job": job.id, "kind": job.kind, "attempt": job.attempt},
        )
        self.observe(job.kind, outcome)


def _described(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {failure}"[:1000]
