"""Pages by offset, which say how many rows there are in all."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, bindparam

from adapters.persistence.database import Database
from adapters.persistence.statements import Row, Statement
from domain.pages import PageRequest


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
