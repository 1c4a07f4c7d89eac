"""The life of a process: its database brought up to date, its parts opened, the worker at work, all of it closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from entrypoints.container import Container
from entrypoints.settings import Settings

QUIET_SECONDS = 1.0
"""How long after its start the app leaves the processor to those who wait for it."""


def migrate_if_wanted(settings: Settings) -> None:
    """Bring the database up to date if `AUTO_MIGRATE` says so and it isn't."""
    if settings.migrates_itself and asyncio.run(_revision(settings)) != Container.schema_head():
        from adapters.persistence.migrate import migrate  # loads Alembic, which most starts don't need

        migrate(settings.database)


async def _revision(settings: Settings) -> str | None:
    database = Container(settings=settings).database()
    await database.open()
    try:
        revision: str | None = await database.schema_revision()
        return revision
    finally:
        await database.close()


@asynccontextmanager
async def running(container: Container, *, with_worker: bool) -> AsyncIterator[None]:
    """The parts of a container in use: opened, the worker at work if it is wanted, and closed in the end."""
    database = container.database()
    await database.open()
    preparing = asyncio.create_task(_prepare(container))
    stop = asyncio.Event()
    worker = asyncio.create_task(container.worker().run(stop)) if with_worker else None
    try:
        yield
    finally:
        stop.set()
        preparing.cancel()
        await asyncio.gather(preparing, return_exceptions=True)
        if worker is not None:
            await asyncio.gather(worker, return_exceptions=True)
        await container.realtime().close()
        await container.throttle().close()
        container.hasher().close()
        container.pictures().close()
        await database.close()


async def _prepare(container: Container) -> None:
    """Load what the first token needs, once the first requests had their answers."""
    await asyncio.sleep(QUIET_SECONDS)
    await asyncio.to_thread(container.tokens().prepare)
