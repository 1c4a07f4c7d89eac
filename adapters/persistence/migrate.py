"""Bringing a database up to date, with Alembic. Imported only where it is done: it takes a while to load."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from adapters.persistence import sqlite

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOCK: Final = 7_064_211_306
"""The key of the advisory lock in PostgreSQL under which one process migrates while others wait: any fixed number."""


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at this URL to a revision, in one transaction.

    Safe from several processes at once: one does it, the others wait and find it done. Runs its own event loop for
    PostgreSQL, so it must not be called inside one.
    """
    target = make_url(url)
    if target.drivername.startswith("sqlite"):
        _migrate_sqlite(target, revision)
    else:
        import asyncio  # only this branch wants it

        asyncio.run(_migrate_postgres(target.set(drivername="postgresql+asyncpg"), revision))


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations on this connection, inside the transaction it is in."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS))
    command.upgrade(config, revision)


def _migrate_sqlite(target: URL, revision: str) -> None:
    path = Path(target.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine("sqlite://", creator=lambda: sqlite.connect(path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin_immediately(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        upgrade(connection, revision)
    engine.dispose()


async def _migrate_postgres(target: URL, revision: str) -> None:
    engine = create_async_engine(target, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            await connection.run_sync(upgrade, revision)
    finally:
        await engine.dispose()
