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

from adapters.notifications import hear
from adapters.persistence.database import JOBS, WAIT, NotUnique
from adapters.persistence.postgres_connection import AttentiveConnection
from adapters.persistence.statements import Prepared, PreparedStatements, Row, Statement
from application.ports.persistence import DatabaseFull
from domain.errors import Unavailable

POOL_SIZE: Final = 10
COMMAND_TIMEOUT: Final = 30.0
STATEMENT_TIMEOUT: Final = COMMAND_TIMEOUT + 5.0
"""Seconds after which PostgreSQL ends a statement by itself: a request to end it that comes a moment before the
statement does is lost."""
IDLE_TIMEOUT: Final = 10.0
"""Seconds after which PostgreSQL undoes a transaction that nothing more is heard of: a process that is frozen, or on
the far side of a cut network, must not keep its locks."""
RECONNECT_PAUSE: Final = 1.0
BURST: Final = 0.005
"""Seconds that news are waited with for more of them: every process is told of each, and would look each time."""
DIALECT: Final[Dialect] = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
PREPARED: Final = PreparedStatements(DIALECT)

OUTAGES: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # the connection or the pool is closed
    asyncpg.InternalClientError,  # the connection was lost in the middle of an answer
    asyncpg.OperatorInterventionError,  # shut down, starting up, a statement that took too long
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,  # a deadlock
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,  # a replica that is not the primary yet, or no longer
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,  # not migrated yet
    OSError,
    TimeoutError,
)
"""What says that the database can't be used now, and not that a statement of ours is wrong."""

log = logging.getLogger(__name__)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what asyncpg raises into what this package promises. An error in a statement of ours stays what it is."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise NotUnique from error
    except asyncpg.IntegrityConstraintViolationError as error:
        error.detail = None  # it shows the whole row, and would show it in the log
        raise
    except OUTAGES as error:
        log.warning("the database can't be used: %s: %s", type(error).__name__, error)
        raise (DatabaseFull if isinstance(error, asyncpg.DiskFullError) else Unavailable) from error


async def _nothing(_: object) -> None:
    """What a connection needs before its next use: we change no session state, and asyncpg ends transactions itself.

    The usual reset would cost another round trip for each use.
    """


class PostgresTransaction:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.ended = False
        self.last: list[tuple[Prepared, Sequence[Mapping[str, Any]]]] = []
        """What is to be run right before the commit."""

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        prepared = self._prepare(statement)
        with _translated():
            return prepared.load(await self._connection.fetch(prepared.sql, *prepared.bind(values)))

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        rows = await self.all(statement, **values)
        return rows[0] if rows else None

    async def many(self, statement: Statement, values: Sequence[Mapping[str, Any]]) -> Sequence[Row]:
        prepared = self._prepare(statement)
        with _translated():
            return prepared.load(await self._connection.fetchmany(prepared.sql, map(prepared.bind, values)))

    def at_end(self, statement: Statement, values: Sequence[Mapping[str, Any]]) -> None:
        self.last.append((self._prepare(statement), values))

    async def run(self, statement: Statement, **values: Any) -> int:
        prepared = self._prepare(statement)
        with _translated():
            status: str = await self._connection.execute(prepared.sql, *prepared.bind(values))
        return int(status.rpartition(" ")[2])  # "UPDATE 3", "INSERT 0 1"

    def _prepare(self, statement: Statement) -> Prepared:
        if self.ended:
            raise RuntimeError("the transaction has ended")
        return PREPARED[statement]


class PostgresDatabase:
    """A pool of connections, opened as they are needed, and one more that listens for news."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._places = asyncio.Semaphore(POOL_SIZE)
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._listener: asyncio.Task[None] | None = None
        self._hears = True

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=POOL_SIZE,
            connection_class=AttentiveConnection,
            command_timeout=COMMAND_TIMEOUT,
            timeout=WAIT,
            reset=_nothing,
            server_settings={
                "application_name": "portico",
                "jit": "off",
                "statement_timeout": f"{STATEMENT_TIMEOUT * 1000:.0f}",
                "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT * 1000:.0f}",
            },
        )

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._pool is not None:
            with suppress(TimeoutError, *OUTAGES):  # a server that is gone need not be told
                await asyncio.wait_for(self._pool.close(), WAIT)
            self._pool.terminate()

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        prepared = PREPARED[statement]
        with _translated():
            connection = await self._acquire()
            try:
                return prepared.load(await connection.fetch(prepared.sql, *prepared.bind(values)))
            finally:
                await self._release(connection)

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        rows = await self.all(statement, **values)
        return rows[0] if rows else None

    async def change(self, statement: Statement, **values: Any) -> Sequence[Row]:
        return await self.all(statement, **values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        with _translated():
            connection = await self._acquire()
        transaction = PostgresTransaction(connection)
        try:
            with _translated():
                await connection.execute("BEGIN")
            yield transaction
            transaction.ended = True
            with _translated():
                for prepared, values in transaction.last:
                    if len(values) == 1:  # costs less than a batch of one
                        await connection.fetch(prepared.sql, *prepared.bind(values[0]))
                    else:
                        await connection.fetchmany(prepared.sql, map(prepared.bind, values))
                await connection.execute("COMMIT")
        except BaseException:
            with suppress(Unavailable), _translated():
                await connection.execute("ROLLBACK")  # no error where there is nothing to undo
            raise
        finally:
            transaction.ended = True
            with suppress(Unavailable), _translated():
                await self._release(connection)

    async def _acquire(self) -> Any:
        """A connection for whoever has waited longest. The pool itself gives it to whoever happens to come by."""
        if self._places.locked():
            async with asyncio.timeout(WAIT):
                await self._places.acquire()
        else:
            await self._places.acquire()  # at once
        try:
            return await self._pool.acquire()  # one is free, or it opens one, for which it has a timeout of its own
        except BaseException:
            self._places.release()
            raise

    async def _release(self, connection: Any) -> None:
        try:
            await self._pool.release(connection, timeout=WAIT)
        finally:
            self._places.release()

    def signal(self, channel: str) -> None:
        """Nothing to do: a trigger on the table tells every process, at the commit."""

    async def wait_for(self, channel: str, timeout: timedelta) -> None:
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="database listener")
        news = self._news[channel]
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                await news.wait()
                await asyncio.sleep(BURST)
        news.clear()

    async def _listen(self) -> None:
        """Listen on a connection of its own, and again whenever it is lost, which is logged once."""
        while True:
            try:
                await hear(self._url, JOBS, begun=self._listens, told=lambda _: self._news[JOBS].set())
            except (*OUTAGES, asyncpg.PostgresError) as error:
                if self._hears:
                    log.warning("news of jobs can't be heard: %s; trying again until they can", type(error).__name__)
                self._hears = False
            await asyncio.sleep(RECONNECT_PAUSE)

    def _listens(self) -> None:
        if not self._hears:
            log.info("news of jobs are heard again")
        self._hears = True
        self._news[JOBS].set()

    def connections(self) -> Mapping[str, int]:
        size, idle = (self._pool.get_size(), self._pool.get_idle_size()) if self._pool else (0, 0)
        return {"used": size - idle, "idle": idle}

    async def schema_revision(self) -> str | None:
        with _translated():
            connection = await self._acquire()
            try:
                revision: str | None = await connection.fetchval(
                    "SELECT version_num FROM alembic_version", timeout=WAIT
                )
            except asyncpg.UndefinedTableError:
                return None
            finally:
                await self._release(connection)
            return revision
