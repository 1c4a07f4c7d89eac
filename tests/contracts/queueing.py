"""What the contract suites of the job queue say over and over."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from application.ports.jobs import Job, JobRecord, NewJob
from tests.contracts.stores import Store

LEASE: Final = timedelta(hours=1)
"""So long that a tenth of it is longer than any test takes."""
SAYINGS: Final[dict[str, Callable[[Store, Job], Awaitable[None]]]] = {
    "extend": lambda store, job: store.jobs.extend(job, LEASE),
    "finish": lambda store, job: store.jobs.finish(job),
    "put_back": lambda store, job: store.jobs.put_back(job, delay=timedelta(), error="late"),
    "put_back_uncounted": lambda store, job: store.jobs.put_back(job, delay=timedelta(), error=None),
    "repeat": lambda store, job: store.jobs.repeat(job, delay=timedelta()),
    "bury": lambda store, job: store.jobs.bury(job, error="late"),
}
"""All that a worker can say of a job it has."""


async def claim(store: Store, owner: str = "a worker", *, limit: int = 100, lease: timedelta = LEASE) -> list[Job]:
    return list(await store.jobs.claim(owner, limit=limit, lease=lease))


async def claim_one(store: Store, owner: str = "a worker", **options: Any) -> Job:
    (job,) = await claim(store, owner, **options)
    return job


async def added_and_claimed(store: Store) -> Job:
    """A job in the hands of `a worker`."""
    await store.jobs.add(NewJob("work"))
    return await claim_one(store)


async def records(store: Store, state: str | None = None) -> list[JobRecord]:
    return list(await store.jobs.list_jobs(state=state, limit=100))


async def the_record(store: Store) -> JobRecord:
    (record,) = await records(store)
    return record
