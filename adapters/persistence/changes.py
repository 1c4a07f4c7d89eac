"""What users are told of, in the database.

The ids of one user's changes grow in the order of their commits, so whoever has seen an id has seen all before it. A
sequence alone doesn't give that: a transaction may draw 7, another one 8 and commit first, and who reads 8 then would
never see 7. So a transaction takes its turn before it draws an id, and has it until its commit is visible. Nobody
waits for anything else after that (changes are written last), and it is taken in one order (of the users' ids), so
nobody waits for each other. SQLite has one writer at a time anyway.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, Select, bindparam, column, delete, func, insert, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from adapters.persistence.database import Database, Transaction
from adapters.persistence.rows import ChangeRow
from adapters.persistence.statements import Row, Statement, moment_ago
from application.ports.realtime import Change, NewChange


class turn_of(FunctionElement[int]):  # noqa: N801 - reads as a function in SQL expressions
    """Waits until nobody else is writing changes of this user; then it is this transaction's turn until it ends.

    The keys are below zero: those of other locks are above.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(turn_of, "sqlite")
def _turn_in_sqlite(element: turn_of, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(turn_of, "postgresql")
def _turn_in_postgresql(element: turn_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"pg_advisory_xact_lock(-CAST({compiler.process(element.clauses, **options)} AS BIGINT))"


class positions_in(FunctionElement[Any]):  # noqa: N801
    """The rows (user_id, position) of a JSON array of pairs."""

    inherit_cache = True


@compiles(positions_in, "sqlite")
def _positions_in_sqlite(element: positions_in, compiler: SQLCompiler, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return (
        "(SELECT json_extract(value, '$[0]') AS user_id, json_extract(value, '$[1]') AS position "  # noqa: S608
        f"FROM json_each({array}))"
    )


@compiles(positions_in, "postgresql")
def _positions_in_postgresql(element: positions_in, compiler: SQLCompiler, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return (
        "(SELECT CAST(pair->>0 AS BIGINT) AS user_id, CAST(pair->>1 AS BIGINT) AS position "  # noqa: S608
        f"FROM json_array_elements(CAST({array} AS JSON)) AS pair)"
    )


FIELDS: Final = ("id", "user_id", "channel", "event", "data")
WRITTEN: Final = ("user_id", "channel", "event", "data")
TABLE: Final = ChangeRow.__table__  # type: ignore[attr-defined]
COLUMNS: Final = tuple(TABLE.c[name] for name in FIELDS)


def _add() -> Statement:
    """The turn is a row that the new one is made from, so it is there before the id is drawn."""
    turn = select(turn_of(bindparam("user_id", type_=BigInteger())).label("turn")).cte("turn")
    values = (bindparam(name, type_=TABLE.c[name].type) for name in WRITTEN)
    in_turn = select(*values, moment_ago(literal(0))).select_from(
        turn.prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return Statement(insert(ChangeRow).from_select((*WRITTEN, "created_at"), in_turn, include_defaults=False))


def _with_news() -> Statement:
    """One look into the index for each user. What there is to be told is read for each of them by itself, along the
    index: asked for all of them together and sorted, a database would go through everything that waits."""
    at = positions_in(bindparam("positions")).table_valued(
        column("user_id", BigInteger()), column("position", BigInteger())
    )
    last = select(func.max(TABLE.c.id)).where(TABLE.c.user_id == at.c.user_id).scalar_subquery()
    return Statement(select(at.c.user_id).where(last > at.c.position))


def _first(rows: Select[Any]) -> Select[Any]:
    return rows.order_by(TABLE.c.id).limit(bindparam("limit"))


ADD: Final = _add()
WITH_NEWS: Final = _with_news()
AFTER: Final = Statement(
    _first(select(*COLUMNS).where(TABLE.c.user_id == bindparam("user_id"), TABLE.c.id > bindparam("after")))
)
IN_CHANNEL: Final = Statement(
    _first(
        select(*COLUMNS).where(
            TABLE.c.user_id == bindparam("user_id"),
            TABLE.c.channel == bindparam("channel"),
            TABLE.c.id > bindparam("after"),
        )
    )
)
LAST: Final = Statement(select(func.coalesce(func.max(TABLE.c.id), 0)).where(TABLE.c.user_id == bindparam("user_id")))
FIND: Final = Statement(
    select(TABLE.c.id).where(
        TABLE.c.id == bindparam("change_id"),
        TABLE.c.user_id == bindparam("user_id"),
        TABLE.c.channel == bindparam("channel"),
        TABLE.c.created_at > moment_ago(bindparam("seconds", type_=Integer)),
    )
)
DELETE_OF: Final = Statement(
    delete(ChangeRow).where(
        TABLE.c.id.in_(select(TABLE.c.id).where(TABLE.c.user_id == bindparam("user_id")).limit(bindparam("limit")))
    )
)
_OLDEST: Final = select(TABLE.c.id, TABLE.c.created_at).order_by(TABLE.c.id).limit(bindparam("limit")).subquery()
SWEEP: Final = Statement(
    delete(ChangeRow).where(
        TABLE.c.id.in_(
            select(_OLDEST.c.id).where(_OLDEST.c.created_at <= moment_ago(bindparam("seconds", type_=Integer)))
        )
    )
)


def write_down(transaction: Transaction, changes: Sequence[NewChange]) -> None:
    """Tell these users at the end of this transaction: from there on, others wait who change what is the same user's.

    Nothing may be written after it: whoever waits for a turn must hold nothing that the one who has it may want.
    """
    transaction.at_end(ADD, [values_of(change) for change in sorted(changes, key=attrgetter("user_id"))])


def values_of(change: NewChange) -> dict[str, Any]:
    """What is written of the change."""
    return {name: getattr(change, name) for name in WRITTEN}


def _changes_in(rows: Sequence[Row]) -> Sequence[Change]:
    return [Change(*row) for row in rows]


class SqlChanges:
    """Implements `Changes`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def delete_of(self, user_id: int, *, limit: int) -> int:
        return await self._transaction.run(DELETE_OF, user_id=user_id, limit=limit)

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        return await self._transaction.run(SWEEP, seconds=int(kept.total_seconds()), limit=limit)


async def changes_after(database: Database, positions: Mapping[int, int], *, limit: int) -> Sequence[Change]:
    """The first changes of each of these users beyond the id that they are at: each user's lowest id first."""
    users: Iterable[int] = positions
    if len(positions) > 1:
        rows = await database.all(WITH_NEWS, positions=json.dumps(list(positions.items())))
        users = [row[0] for row in rows]
    found: list[Row] = []
    for user_id in users:
        found += await database.all(AFTER, user_id=user_id, after=positions[user_id], limit=limit)
    return _changes_in(found)


async def changes_in(database: Database, user_id: int, channel: str, *, after: int, limit: int) -> Sequence[Change]:
    """The changes of that user in that channel beyond an id, lowest id first."""
    return _changes_in(await database.all(IN_CHANNEL, user_id=user_id, channel=channel, after=after, limit=limit))


async def last_change(database: Database, user_id: int) -> int:
    """The greatest id of that user's changes; 0 if there is none."""
    row = await database.first(LAST, user_id=user_id)
    assert row is not None  # an aggregate always has a row
    return int(row[0])


async def has_change(database: Database, user_id: int, channel: str, change_id: int, *, within: timedelta) -> bool:
    """Whether it is a change of that user in that channel, written down within that time."""
    seconds = int(within.total_seconds())
    row = await database.first(FIND, user_id=user_id, channel=channel, change_id=change_id, seconds=seconds)
    return row is not None
