"""What the repositories need of a database. SQLite and PostgreSQL each have a module of their own."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final, Protocol

from adapters.persistence.statements import Row, Statement

WAIT: Final = 10.0
"""Seconds to wait for a connection, or for the turn to write, before giving up."""

JOBS: Final = "portico_jobs"
"""The channel on which new jobs are made known."""


class NotUnique(Exception):
    """A value that must be unique is there already. The transaction is of no more use."""


class Transaction(Protocol):
    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Every row. Raises `NotUnique` or `Unavailable`."""

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        """The first row, if there is one. Raises `NotUnique` or `Unavailable`."""

    async def many(self, statement: Statement, values: Sequence[Mapping[str, Any]]) -> Sequence[Row]:
        """Run it for each of these values, in one round trip: every row that it returns, in their order.

        Raises `NotUnique` or `Unavailable`.
        """

    def at_end(self, statement: Statement, values: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each of these values right before the commit: on the same trip, where there is one to be saved.

        The end of the block raises `NotUnique` or `Unavailable`, then.
        """

    async def run(self, statement: Statement, **values: Any) -> int:
        """How many rows it changed. Raises `NotUnique` or `Unavailable`."""


class Database(Protocol):
    async def open(self) -> None:
        """To be called first, in the event loop that will use it. Connects to nothing yet."""

    async def all(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Every row of one read, in one round trip. Raises `Unavailable`."""

    async def first(self, statement: Statement, **values: Any) -> Row | None:
        """The first row of one read, if there is one. Raises `Unavailable`."""

    async def change(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """One statement that is a transaction of its own, in one round trip: every row that it returns.

        Raises `NotUnique` or `Unavailable`.
        """

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Leaving the block commits; an exception rolls back. Raises `Unavailable`, then or at the first statement."""

    def signal(self, channel: str) -> None:
        """Wake those who wait for this channel, after a commit."""

    async def wait_for(self, channel: str, timeout: timedelta) -> None:
        """Return at a signal of that channel, or after `timeout`."""

    def connections(self) -> Mapping[str, int]:
        """How many connections are in use and how many are idle."""

    async def schema_revision(self) -> str | None:
        """The migration that the database stands at; None if it is empty. Raises `Unavailable`."""

    async def close(self) -> None: ...
