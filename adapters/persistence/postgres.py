"""PostgreSQL through asyncpg's own pool."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Any, Final

import asyncpg
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from adapters.persistence.database import JOBS, WAIT, NotUnique
from adapters.persistence.statements import PreparedStatements, Row, Statement
from domain.errors import Unavailable

POOL_SIZE: Final = 10
COMMAND_TIMEOUT: Final = 30.0
RECONNECT_PAUSE: Final = 1.0
DIALECT: Final[Dialect] = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

log = logging.getLogger(__name__)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what asyncpg raises into what this package promises. An error in a statement of ours stays what it is."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise NotUnique from error
    except (
        asyncpg.PostgresConnectionError,
        asyncpg.InterfaceError,
        asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.InsufficientResourcesError,
        asyncpg.DeadlockDetectedError,
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        OSError,
        TimeoutError,
    ) as error:
        log.warning("the database can't be reached: %s: %s", type(error).__name__, error)
        raise Unavailable from error


async def _nothing(_: object) -> None:
    """What a connection needs before its next use: we change no session state, and asyncpg ends transactions itself.

    The usual reset would cost another round trip for each use.
    """


class PostgresTransaction:
    def __init__(self, connection: Any, prepared: PreparedStatements) -> None:
        self._connection = connection
        self._prepared = prepared

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        prepared = self._prepared[statement]
        with _translated():
            return prepared.load(await self._connection.fetch(prepared.sql, *prepared.bind(values)))

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        rows = await self.all(statement, **values)
        return rows[0] if rows else None

    async def run(self, statement: Statement, **values: Any) -> int:
        prepared = self._prepared[statement]
        with _translated():
            status: str = await self._connection.execute(prepared.sql, *prepared.bind(values))
        return int(status.rpartition(" ")[2])  # "UPDATE 3", "INSERT 0 1"


class PostgresDatabase:
    """A pool of connections, opened as they are needed, and one more that listens for news."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._prepared = PreparedStatements(DIALECT)
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._listener: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=POOL_SIZE,
            command_timeout=COMMAND_TIMEOUT,
            timeout=WAIT,
            reset=_nothing,
            server_settings={"application_name": "portico", "jit": "off"},
        )

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._pool is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pool.close(), WAIT)
            self._pool.terminate()

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        prepared = self._prepared[statement]
        with _translated():
            async with self._pool.acquire(timeout=WAIT) as connection:
                return prepared.load(await connection.fetch(prepared.sql, *prepared.bind(values)))

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        rows = await self.all(statement, **values)
        return rows[0] if rows else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        with _translated():
            connection = await self._pool.acquire(timeout=WAIT)
        try:
            transaction = connection.transaction()
            with _translated():
                await transaction.start()
            try:
                yield PostgresTransaction(connection, self._prepared)
            except BaseException:
                with suppress(Unavailable), _translated():
                    await transaction.rollback()
                raise
            with _translated():
                await transaction.commit()
        finally:
            with suppress(Unavailable), _translated():
                await self._pool.release(connection)

    def signal(self, channel: str) -> None:
        """Nothing to do: a trigger on the table tells every process, at the commit."""

    async def wait_for(self, channel: str, timeout: timedelta) -> None:
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="database listener")
        news = self._news[channel]
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), timeout.total_seconds())
        news.clear()

    async def _listen(self) -> None:
        """Listen on a connection of its own, again and again. What is missed meanwhile is found after the timeout."""
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=WAIT, command_timeout=COMMAND_TIMEOUT)
                try:
                    await connection.add_listener(JOBS, self._told)
                    while not connection.is_closed():
                        await asyncio.sleep(RECONNECT_PAUSE)
                        await connection.fetch("SELECT 1")
                finally:
                    connection.terminate()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await asyncio.sleep(RECONNECT_PAUSE)

    def _told(self, _connection: object, _pid: int, channel: str, _payload: str) -> None:
        self._news[channel].set()

    def connections(self) -> Mapping[str, int]:
        size, idle = (self._pool.get_size(), self._pool.get_idle_size()) if self._pool else (0, 0)
        return {"used": size - idle, "idle": idle}

    async def schema_revision(self) -> str | None:
        with _translated():
            try:
                revision: str | None = await self._pool.fetchval(
                    "SELECT version_num FROM alembic_version", timeout=WAIT
                )
            except asyncpg.UndefinedTableError:
                return None
            return revision
