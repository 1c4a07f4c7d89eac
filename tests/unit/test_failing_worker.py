"""Every call that a worker makes of its queue fails: each job is done all the same, or kept for somebody to see."""

import asyncio
from collections import Counter
from datetime import timedelta

from application.jobs import HEARTBEAT, Worker
from application.ports.jobs import Job, NewJob, PermanentFailure
from tests.fakes import InMemoryJobs
from tests.unit.failing_ports import Fuse

KINDS = ("plain", "clumsy", "hopeless", "lasting")
TICK = timedelta(seconds=20)
END = {"hopeless": "dead", "tick": "waiting"}
"""What is left of all jobs in the end."""


async def states_in(queue: InMemoryJobs) -> dict[str, str]:
    return {job.kind: job.state for job in await queue.list_jobs(state=None, limit=9)}


async def worked(fuse: Fuse) -> Counter[str]:
    """How often each kind of job was done: by a worker that works until no more than `END` is left."""
    queue, tried, done = InMemoryJobs(), Counter[str](), Counter[str]()

    async def do(job: Job) -> None:
        tried[job.kind] += 1
        if job.kind == "hopeless":
            raise PermanentFailure
        if job.kind == "clumsy" and tried["clumsy"] == 1:
            raise ZeroDivisionError
        if job.kind == "lasting":
            await asyncio.sleep(2.5 * HEARTBEAT.total_seconds())
        done[job.kind] += 1

    for kind in KINDS:
        await queue.add(NewJob(kind))
    handlers = dict.fromkeys((*KINDS, "tick"), do)
    worker = Worker("the worker", fuse.wire("queue", queue), handlers, {"tick": TICK}, lambda kind, outcome: None)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(3600):
        while not (done["tick"] >= 2 and await states_in(queue) == END):  # noqa: ASYNC110 - time is virtual here
            await asyncio.sleep(1)
    stop.set()
    await running
    return done


async def calls_of_a_worker() -> list[str]:
    """All that it asks of its queue when nothing fails."""
    fuse = Fuse()
    assert await worked(fuse) == {"plain": 1, "clumsy": 1, "lasting": 1, "tick": 2}
    return fuse.calls


async def test_whichever_call_fails_every_job_is_done_or_kept() -> None:
    calls = await calls_of_a_worker()
    for number in range(len(calls)):
        for afterwards in (False, True):
            fuse = Fuse(number, afterwards)
            done = await worked(fuse)
            assert len(fuse.calls) > number
            assert done.keys() == {"plain", "clumsy", "lasting", "tick"}
            assert all(done[kind] <= 2 for kind in KINDS), "at most once more than what could be written down"
