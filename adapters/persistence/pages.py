"""Pages of lists, which say how many rows there are in all when they are read by offset."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Select, SQLColumnExpression, bindparam

from adapters.persistence.database import Database
from adapters.persistence.statements import Row, Statement
from domain.pages import Page, PageRequest

T = TypeVar("T")


def at_offset(rows: Select[Any], count: Select[Any]) -> Statement:
    """Those rows from `skip` on, each with the count at its end: the database counts once."""
    return Statement(rows.add_columns(count.scalar_subquery()).offset(bindparam("skip")))


async def page_at_offset(
    database: Database, page: Statement, count: Statement, request: PageRequest, **values: Any
) -> tuple[Sequence[Row], int]:
    """One row more than asked for, if there is one, and the count: in one round trip, unless `skip` goes too far."""
    rows = await database.all(page, limit=request.limit + 1, skip=request.skip, **values)
    if rows:
        return [row[:-1] for row in rows], rows[0][-1]
    counted = await database.first(count, **values) if request.skip else None
    return [], counted[0] if counted else 0


@dataclass(frozen=True, slots=True)
class NewestFirst:
    """The statements of a list that is read by falling number, which is the first column of its rows."""

    at_offset: Statement
    after_key: Statement
    count: Statement


def newest_first(rows: Select[Any], number: SQLColumnExpression[int], count: Select[Any]) -> NewestFirst:
    """The list of these rows."""
    newest = rows.order_by(number.desc()).limit(bindparam("limit"))
    return NewestFirst(at_offset(newest, count), Statement(newest.where(number < bindparam("after"))), Statement(count))


async def page_of(
    database: Database, newest: NewestFirst, of: Callable[[Row], T], request: PageRequest, **values: Any
) -> Page[T]:
    """That page. One row more than asked for tells whether there is a next one."""
    total = None
    if request.after is None:
        rows, total = await page_at_offset(database, newest.at_offset, newest.count, request, **values)
    else:
        rows = await database.all(newest.after_key, limit=request.limit + 1, after=request.after[0], **values)
    page = rows[: request.limit]
    return Page([of(row) for row in page], total, (page[-1][0],) if len(rows) > request.limit else None)
