"""SQLite through the standard library's driver, on threads: several that read, one that writes.

WAL lets readers go on while somebody writes. Writers of this process take turns here, in the order they came, so that
nobody fights for the lock; writers of other processes wait for it in SQLite's own busy handler. Changes of one
statement take one turn together.
"""

import asyncio
import logging
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from adapters.persistence.database import WAIT, NotUnique
from adapters.persistence.sqlite_changes import Changes
from adapters.persistence.sqlite_threads import Threads
from adapters.persistence.statements import Prepared, PreparedStatements, Row, Statement
from application.ports.persistence import DatabaseFull
from application.uninterrupted import to_the_end
from domain.errors import Unavailable

READERS: Final = 4
DIALECT: Final = SQLiteDialect_pysqlite(paramstyle="qmark")
PREPARED: Final = PreparedStatements(DIALECT)

T = TypeVar("T")
log = logging.getLogger(__name__)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
            raise NotUnique from error
        raise
    except (sqlite3.DatabaseError, OSError) as error:
        if _is_of_a_statement(error):
            raise
        log.warning("the database can't be used: %s", error)
        raise (DatabaseFull if _is_full(error) else Unavailable) from error


def _is_full(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _is_of_a_statement(error: Exception) -> bool:
    """Whether a statement of ours is wrong, and not a database away, damaged, or not migrated yet."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_ERROR and not str(error).startswith("no such table")
    return isinstance(error, sqlite3.DatabaseError) and type(error) is not sqlite3.DatabaseError


def _fetch(prepared: Prepared, values: Mapping[str, Any]) -> Callable[[sqlite3.Connection], Sequence[Row]]:
    bound = prepared.bind(values)
    return lambda connection: prepared.load(connection.execute(prepared.sql, bound).fetchall())


def _begin_with(function: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
    """The first thing done in a transaction begins it, in one trip to the thread."""

    def begin(connection: sqlite3.Connection) -> T:
        connection.execute("BEGIN IMMEDIATE")
        return function(connection)

    return begin


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")


def _roll_back(connection: sqlite3.Connection) -> None:
    """Also after a commit that failed, for a full disk say, and before a transaction that never began."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


class SqliteTransaction:
    def __init__(self, database: "SqliteDatabase") -> None:
        self._database = database
        self.begun = False
        self.ended = False
        self.last: list[tuple[str, list[Any]]] = []
        """What is to be run right before the commit."""

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        return await self._run(_fetch(PREPARED[statement], values))

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        rows = await self.all(statement, **values)
        return rows[0] if rows else None

    async def many(self, statement: Statement, values: Sequence[Mapping[str, Any]]) -> Sequence[Row]:
        prepared = PREPARED[statement]
        bound = [prepared.bind(one) for one in values]

        def execute(connection: sqlite3.Connection) -> Sequence[Row]:
            return prepared.load([row for one in bound for row in connection.execute(prepared.sql, one)])

        return await self._run(execute)

    def at_end(self, statement: Statement, values: Sequence[Mapping[str, Any]]) -> None:
        prepared = PREPARED[statement]
        self.last += [(prepared.sql, prepared.bind(one)) for one in values]

    async def run(self, statement: Statement, **values: Any) -> int:
        prepared = PREPARED[statement]
        bound = prepared.bind(values)
        return await self._run(lambda connection: connection.execute(prepared.sql, bound).rowcount)

    def commit(self, connection: sqlite3.Connection) -> None:
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        for sql, bound in self.last:
            connection.execute(sql, bound)
        _commit(connection)

    async def _run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        if self.ended:  # what came now would be part of somebody else's
            raise RuntimeError("the transaction has ended")
        if not self.begun:
            self.begun = True
            function = _begin_with(function)
        try:
            with _translated():
                return await self._database.writer.run(function)
        except Unavailable:
            self.ended = True  # it may not have begun, or SQLite may have undone it
            raise


class SqliteDatabase:
    """One file, with its write-ahead log beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._changes = Changes(self._in_turn)
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._readers, self.writer = self._threads()

    def _threads(self) -> tuple[Threads, Threads]:
        return Threads(self._path, READERS, "sqlite-reader"), Threads(self._path, 1, "sqlite-writer")

    async def open(self) -> None:
        self._readers, self.writer = self._threads()  # it may have been closed before

    async def close(self) -> None:
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self.writer.close)

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        with _translated():
            return await self._readers.run(_fetch(PREPARED[statement], values))

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        rows = await self.all(statement, **values)
        return rows[0] if rows else None

    async def change(self, statement: Statement, **values: Any) -> Sequence[Row]:
        with _translated():
            return await self._changes.make(_fetch(PREPARED[statement], values))

    async def _in_turn(self, function: Callable[[sqlite3.Connection], None]) -> None:
        await self._take_turn()
        try:
            await self.writer.run(function)
        finally:
            self._turn.release()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(WAIT):
                await self._turn.acquire()
        except TimeoutError as error:
            log.warning("the database can't be used: nobody ended a transaction in time")
            raise Unavailable from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteTransaction]:
        await self._take_turn()
        transaction = SqliteTransaction(self)
        try:
            yield transaction
            transaction.ended = True
            if transaction.begun or transaction.last:
                transaction.begun = True
                await self._to_the_end(transaction.commit)
        except BaseException:
            if transaction.begun:
                with suppress(Unavailable):
                    await self._to_the_end(_roll_back)
            raise
        finally:
            transaction.ended = True
            self._turn.release()

    async def _to_the_end(self, step: Callable[[sqlite3.Connection], None]) -> None:
        """Take a step of the transaction to its end, even if whoever waits for it goes away."""
        with _translated():
            await to_the_end(self.writer.run(step, patiently=True))

    def signal(self, channel: str) -> None:
        self._news[channel].set()

    async def wait_for(self, channel: str, timeout: timedelta) -> None:
        news = self._news[channel]
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                await news.wait()
        news.clear()

    def connections(self) -> Mapping[str, int]:
        used = self._readers.busy + self.writer.busy
        return {"used": used, "idle": max(0, self._readers.opened + self.writer.opened - used)}

    async def schema_revision(self) -> str | None:
        def read(connection: sqlite3.Connection) -> str | None:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return str(row[0]) if row else None

        with _translated():
            return await self._readers.run(read)
