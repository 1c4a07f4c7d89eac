"""Pages by offset, which say how many rows there are in all, and of lists that are newest first."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, bindparam

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


async def page_of_newest(
    database: Database,
    statements: tuple[Statement, Statement, Statement],
    request: PageRequest,
    of: Callable[[Row], T],
    number: Callable[[T], int],
    **values: Any,
) -> Page[T]:
    """A page of a list by a falling number, by which what is newest comes first.

    The statements are those of the page at an offset, of the page after a number, and of the count. One row more than
    asked for tells whether there is a next page.
    """
    first, after_key, count = statements
    total = None
    if request.after is None:
        rows, total = await page_at_offset(database, first, count, request, **values)
    else:
        rows = await database.all(after_key, limit=request.limit + 1, after=request.after[0], **values)
    entities = [of(row) for row in rows[: request.limit]]
    return Page(entities, total, (number(entities[-1]),) if len(rows) > request.limit else None)
