"""Changes of one statement that wait at one time, made in one transaction: the disk is waited for once."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.persistence.statements import Row

MOST_TOGETHER: Final = 64

Make = Callable[[sqlite3.Connection], Sequence[Row]]
"""Runs one statement."""


@dataclass(slots=True, eq=False)
class _Change:
    make: Make
    ended: asyncio.Future[Sequence[Row]]
    rows: Sequence[Row] = ()
    error: Exception | None = None

    def end(self) -> None:
        """Tell whoever waits for it, if anybody still does."""
        if self.ended.done():
            return
        if self.error is None:
            self.ended.set_result(self.rows)
        else:
            self.ended.set_exception(self.error)


class Changes:
    """`in_turn` runs a function on the connection that writes, once those before have written."""

    def __init__(self, in_turn: Callable[[Callable[[sqlite3.Connection], None]], Awaitable[None]]) -> None:
        self._in_turn = in_turn
        self._waiting: deque[_Change] = deque()
        self._making: asyncio.Task[None] | None = None

    async def make(self, make: Make) -> Sequence[Row]:
        """What it returns, once that is on the disk; or the error that it raises, which undoes no other change.

        A change that nobody waits for any more when its turn comes is not made.
        """
        change = _Change(make, asyncio.get_running_loop().create_future())
        self._waiting.append(change)
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make_all())
        return await change.ended

    async def _make_all(self) -> None:
        while self._waiting:
            await self._make_some()

    async def _make_some(self) -> None:
        """Those that have come until the turn has: in the order they came."""
        taken: list[_Change] = []

        def in_one_transaction(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                while self._waiting and len(taken) < MOST_TOGETHER:
                    taken.append(self._waiting.popleft())
                    _make_one(connection, taken[-1])
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

        try:
            await self._in_turn(in_one_transaction)
        except Exception as error:  # whatever it is, those who wait must hear of it
            if not taken:  # there was no turn, or nothing can be written
                taken, self._waiting = list(self._waiting), deque()
            for change in taken:
                change.error = error
        for change in taken:
            change.end()


def _make_one(connection: sqlite3.Connection, change: _Change) -> None:
    """SQLite undoes a statement that fails, and the transaction goes on. Where it had to undo all of it (for a full
    disk, say), that error is raised."""
    if change.ended.done():
        return
    try:
        change.rows = change.make(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise
        change.error = error
