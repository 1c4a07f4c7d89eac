"""How far files have been imported, in the database."""

import json
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Insert, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from adapters.persistence.database import Database, Transaction
from adapters.persistence.rows import ImportRow
from adapters.persistence.statements import Row, Statement
from domain.imports import Import, RowError

CHANGING: Final = ("position", "line", "created", "rejected", "errors", "finished")
WRITTEN: Final = ("file_id", *CHANGING)
COLUMNS: Final = tuple(ImportRow.__table__.c[name] for name in WRITTEN)  # type: ignore[attr-defined]
"""What `import_of` wants, in its order."""

# PostgreSQL's insert: SQLite has the same clause, in the same words.
_ADD: Final[Insert] = insert(ImportRow).values({name: bindparam(name) for name in WRITTEN}).on_conflict_do_nothing()
ADD: Final = Statement(_ADD)
_BY_FILE: Final = select(*COLUMNS).where(col(ImportRow.file_id) == bindparam("of_file"))
BY_FILE: Final = Statement(_BY_FILE)
LOCK_BY_FILE: Final = Statement(_BY_FILE.with_for_update())
SAVE: Final = Statement(
    update(ImportRow)
    .where(col(ImportRow.file_id) == bindparam("of_file"))
    .values({name: bindparam(name) for name in CHANGING})
)


def import_of(row: Row) -> Import:
    """The state in a row of `COLUMNS`."""
    (file_id, position, line, created, rejected, errors, finished) = row
    return Import(
        file_id=file_id,
        position=position,
        line=line,
        created=created,
        rejected=rejected,
        errors=[RowError(**error) for error in json.loads(errors)],
        finished=bool(finished),
    )


def _values(state: Import) -> dict[str, Any]:
    values = {name: getattr(state, name) for name in WRITTEN}
    return values | {"errors": json.dumps([asdict(error) for error in state.errors])}


class SqlImports:
    """Implements `Imports`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def get(self, file_id: int) -> Import:
        row = await self._transaction.first(LOCK_BY_FILE, of_file=file_id)
        if row is None:
            await self._transaction.run(ADD, **_values(Import(file_id=file_id)))
            row = await self._transaction.first(LOCK_BY_FILE, of_file=file_id)
        assert row is not None  # it was added just now, by us or by somebody else
        return import_of(row)

    async def save(self, state: Import) -> None:
        await self._transaction.run(SAVE, of_file=state.file_id, **_values(state))


async def find_import(database: Database, file_id: int) -> Import:
    """A new one, if nothing of that file has been imported."""
    row = await database.first(BY_FILE, of_file=file_id)
    return Import(file_id=file_id) if row is None else import_of(row)
