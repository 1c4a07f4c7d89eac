"""Bringing a database up to date, with Alembic. Imported only where it is done: it takes a while to load."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from adapters.persistence.migrations import MigrationFailed, head, is_newer
from adapters.persistence.sqlite_file import connect, path_of

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOCK: Final = 7_064_211_306
"""The key of the advisory lock in PostgreSQL under which one process migrates while others wait: any fixed number."""
LONGEST_WAIT: Final = 5 * 60
"""Seconds that PostgreSQL lets a migration wait for a lock: for another one, or for what uses a table."""
CONNECT_SECONDS: Final = 10.0


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at this URL to a revision, in one transaction. Raises `MigrationFailed`.

    Safe from several processes at once: one does it, the others wait and find it done. Runs its own event loop for
    PostgreSQL, so it must not be called inside one.
    """
    if url.startswith("sqlite:"):
        _migrate_sqlite(path_of(url), revision)
    else:
        import asyncio  # only this branch wants it

        asyncio.run(_migrate_postgres(url, revision))


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations on this connection, inside the transaction it is in. Raises `MigrationFailed`."""
    stands_at = MigrationContext.configure(connection).get_current_revision()
    if is_newer(stands_at):
        raise _failed(f"its schema is of a newer version ({stands_at}, where this one knows {head()})")
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS))
    command.upgrade(config, revision)


def _migrate_sqlite(path: Path, revision: str) -> None:
    engine = create_engine("sqlite://", creator=partial(connect, path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin_immediately(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with _told(), engine.begin() as connection:
            upgrade(connection, revision)
    finally:
        engine.dispose()


async def _migrate_postgres(url: str, revision: str) -> None:
    import asyncpg  # as above

    # The driver reads the URL by itself, as the server has it do: SQLAlchemy would understand parts of it otherwise.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(asyncpg.connect, url, timeout=CONNECT_SECONDS),
        poolclass=NullPool,
    )
    try:
        with _told(asyncpg.PostgresError, asyncpg.InterfaceError):
            async with engine.begin() as connection:
                await connection.execute(text(f"SET LOCAL lock_timeout = '{LONGEST_WAIT}s'"))
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
                await connection.run_sync(upgrade, revision)
    finally:
        await engine.dispose()


@contextmanager
def _told(*more: type[Exception]) -> Iterator[None]:
    """Turn what Alembic, SQLAlchemy and the drivers raise, and `more`, into `MigrationFailed`."""
    known: tuple[type[Exception], ...] = (CommandError, SQLAlchemyError, OSError, *more)
    try:
        yield
    except known as error:
        cause: BaseException = error
        if isinstance(error, DBAPIError) and error.orig is not None:  # its own text goes on with the statement
            cause = error.orig.__cause__ or error.orig
        said = str(cause).partition("\n")[0]
        if type(cause).__name__ == "LockNotAvailableError":
            said = f"another process has kept a lock for {LONGEST_WAIT // 60} minutes; try again when it has ended"
        raise _failed(f"{type(cause).__name__}: {said}" if said else type(cause).__name__) from error


def _failed(why: str) -> MigrationFailed:
    return MigrationFailed(f"the database could not be brought up to date: {why}")
