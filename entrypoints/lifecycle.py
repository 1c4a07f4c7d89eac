"""The life of a process: its database brought up to date, its parts opened, the worker at work, all of it closed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from adapters.persistence.migrations import is_older
from entrypoints.container import Container

QUIET_SECONDS = 1.0
"""How long after its start the app leaves the processor to those who wait for it."""

LAST_WORDS = 2.0
"""Seconds for writing down who was active until the end: no reason to stop any later."""


def migrate_if_wanted(container: Container) -> None:
    """Bring the database up to date if `AUTO_MIGRATE` says so and it isn't. One of a newer version stays what it is.

    Raises `Unavailable` or `MigrationFailed`.
    """
    settings = container.settings()
    if settings.migrates_itself and is_older(asyncio.run(_revision(container))):
        from adapters.persistence.migrate import migrate  # loads Alembic, which most starts don't need

        migrate(settings.database)


async def _revision(container: Container) -> str | None:
    database = container.database()
    await database.open()
    try:
        revision: str | None = await database.schema_revision()
        return revision
    finally:
        await database.close()


@asynccontextmanager
async def running(container: Container, *, with_worker: bool) -> AsyncIterator[None]:
    """The parts of a container in use: opened, the worker at work if it is wanted, and closed in the end.

    Whoever knows before the end that it comes sets the container's `stopping`: the worker takes up no more jobs.
    """
    async with AsyncExitStack() as closing:  # one that can't be closed keeps no other one open
        if (tracing := container.tracing()) is not None:
            closing.push_async_callback(tracing.close)
        database = container.database()
        closing.push_async_callback(database.close)
        await database.open()
        # Each of these is built at its first use, at the latest here.
        closing.callback(lambda: container.pictures().close())
        closing.callback(lambda: container.hasher().close())
        for part in (container.throttle, container.partner, container.realtime):
            closing.push_async_callback(_close, part)
        async with _at_work(container, with_worker=with_worker):
            yield


async def _close(part: Callable[[], Any]) -> None:
    await part().close()


@asynccontextmanager
async def _at_work(container: Container, *, with_worker: bool) -> AsyncIterator[None]:
    """What runs beside the requests: the worker if it is wanted, and who was active written down, for the last time
    in the end."""
    stopping = container.stopping()
    worker = asyncio.create_task(container.worker().run(stopping)) if with_worker else None
    beside = [asyncio.create_task(_prepare(container)), asyncio.create_task(container.activity().run())]
    try:
        yield
    finally:
        stopping.set()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(container.activity().write(), LAST_WORDS)
        if worker is not None:
            await asyncio.gather(worker, return_exceptions=True)


async def _prepare(container: Container) -> None:
    """Load what the first token needs, once the first requests had their answers."""
    await asyncio.sleep(QUIET_SECONDS)
    await asyncio.to_thread(container.tokens().prepare)
