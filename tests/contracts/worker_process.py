"""A worker in a process of its own, to be killed and paused: `python -m tests.contracts.worker_process`.

Takes the database's URL, the worker's name, a folder, and the seconds between the heartbeats of a job. Its handler says
that it has begun with a file in the folder, waits until it may go on, and then has its effect: a file named by the
job's id, which only the first to make it can make. What came of each job is a line in the file `outcomes`.
"""

import asyncio
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from adapters.persistence.jobs import SqlJobQueue
from application.jobs import Worker
from application.ports.jobs import Job
from tests.contracts.stores import opened
from tests.running_app import eventually

LEASE: Final = timedelta(minutes=5)
"""Longer than a busy machine keeps a worker from extending it: the test lets it run out by itself."""
POLL: Final = timedelta(seconds=0.1)


async def main(url: str, name: str, folder: Path, heartbeat: timedelta) -> None:
    async def handle(job: Job) -> None:
        (folder / f"begun-{name}").touch()
        await eventually((folder / f"go-{name}").exists, deadline=60)
        with suppress(FileExistsError), (folder / f"effect-{job.id}").open("x") as effect:
            effect.write(name)

    def observe(kind: str, outcome: str) -> None:
        with (folder / "outcomes").open("a") as outcomes:
            outcomes.write(f"{name} {outcome}\n")

    async with opened(url) as database:
        worker = Worker(
            name,
            SqlJobQueue(database),
            {"work": handle},
            {},
            observe,
            lease=LEASE,
            heartbeat=heartbeat,
            poll=POLL,
        )
        await worker.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), timedelta(seconds=float(sys.argv[4]))))
