"""A worker on a queue in virtual time, for the tests of the background work."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from application.correlation import request_id, traceparent
from application.jobs import GRACE, LEASE, Handler, Worker
from application.ports.jobs import Job, JobRecord
from tests.fakes import InMemoryJobs


@dataclass
class Bench:
    """A queue, a worker on it, and what came of its jobs. Time is the event loop's, which is virtual here."""

    queue: InMemoryJobs = field(default_factory=InMemoryJobs)
    handlers: dict[str, Handler] = field(default_factory=dict)
    schedules: dict[str, timedelta] = field(default_factory=dict)
    observed: list[tuple[str, str]] = field(default_factory=list)
    """The kind and the outcome of each job, in the order in which they ended."""
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
            async with asyncio.timeout((GRACE + LEASE).total_seconds()):
                await running

    def _observe(self, kind: str, outcome: str) -> None:
        self.observed.append((kind, outcome))
        self.news.set()

    @property
    def outcomes(self) -> list[str]:
        return [outcome for _, outcome in self.observed]

    async def until(self, condition: Callable[[], bool], *, within: timedelta = timedelta(hours=4)) -> None:
        """Virtual time costs a little, too: a worker that has nothing to do looks for work 500,000 times a month."""
        async with asyncio.timeout(within.total_seconds()):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def until_concluded(self, number: int = 1) -> None:
        await self.until(lambda: len(self.observed) >= number)

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
    traces: list[str | None] = field(default_factory=list)
    cancelled: int = 0
    finished: int = 0
    at_once: int = 0
    most_at_once: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        self.times.append(asyncio.get_running_loop().time())
        self.request_ids.append(request_id.get())
        self.traces.append(traceparent.get())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.news.set()
        try:
            await asyncio.sleep(job.payload.get("lasts", self.lasts.total_seconds()))
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


def works(bench: Bench, doing: Doing, kind: str = "work") -> Doing:
    bench.handlers[kind] = doing
    doing.news = bench.news
    return doing
