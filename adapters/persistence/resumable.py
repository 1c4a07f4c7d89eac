"""Resumable uploads in the database."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update

from adapters.persistence.database import Database, Transaction
from adapters.persistence.owned import insert_owned
from adapters.persistence.rows import ResumableUploadRow, UploadPartRow
from adapters.persistence.statements import Row, Statement, texts_in
from domain.resumable import ResumableUpload, UploadNotFound, UploadPart
from domain.sessions import InvalidAccessToken

TABLE: Final = ResumableUploadRow.__table__  # type: ignore[attr-defined]
PARTS: Final = UploadPartRow.__table__  # type: ignore[attr-defined]
WRITTEN: Final = (
    "id",
    "owner_id",
    "length",
    "filename",
    "content_type",
    "metadata",
    "created_at",
    "offset",
    "file_id",
)
"""The columns that the entity's fields of the same names are kept in."""
PART: Final = ("offset", "key", "sha256", "size")

COLUMNS: Final = tuple(TABLE.c[name] for name in WRITTEN)
PART_COLUMNS: Final = tuple(PARTS.c[name] for name in PART)

ADD: Final = Statement(insert_owned(ResumableUploadRow, WRITTEN))
SAVE: Final = Statement(
    update(ResumableUploadRow)
    .where(TABLE.c.id == bindparam("upload_id"))
    .values(offset=bindparam("offset"), file_id=bindparam("file_id"))
)
_BY_ID: Final = select(*COLUMNS).where(TABLE.c.id == bindparam("upload_id"))
BY_ID: Final = Statement(_BY_ID)
LOCK_BY_ID: Final = Statement(_BY_ID.with_for_update())
ADD_PART: Final = Statement(insert(UploadPartRow).values({name: bindparam(name) for name in ("upload_id", *PART)}))
COUNT_PARTS: Final = Statement(
    select(func.count()).select_from(UploadPartRow).where(PARTS.c.upload_id == bindparam("upload_id"))
)
PARTS_OF: Final = Statement(
    select(*PART_COLUMNS).where(PARTS.c.upload_id == bindparam("upload_id")).order_by(PARTS.c.offset)
)
_GIVEN: Final = texts_in(bindparam("upload_ids"))
REMOVE_PARTS: Final = Statement(
    delete(UploadPartRow).where(PARTS.c.upload_id.op("IN")(_GIVEN)).returning(*PART_COLUMNS)
)
DELETE: Final = Statement(delete(ResumableUploadRow).where(TABLE.c.id.op("IN")(_GIVEN)))


def _some(condition: ColumnElement[bool]) -> Statement:
    return Statement(
        select(TABLE.c.id).where(condition).order_by(TABLE.c.id).limit(bindparam("limit")).with_for_update()
    )


OWNED_BY: Final = _some(TABLE.c.owner_id == bindparam("owner_id"))
CREATED_BEFORE: Final = _some(TABLE.c.created_at <= bindparam("created_before"))


def upload_of(row: Row) -> ResumableUpload:
    """The upload in a row of `COLUMNS`."""
    return ResumableUpload(**dict(zip(WRITTEN, row, strict=True)))


def _parts_in(rows: Sequence[Row]) -> Sequence[UploadPart]:
    return [UploadPart(*row) for row in rows]


class SqlResumableUploads:
    """Implements `ResumableUploads`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, upload: ResumableUpload) -> None:
        if await self._transaction.run(ADD, **{name: getattr(upload, name) for name in WRITTEN}) == 0:
            raise InvalidAccessToken

    async def get(self, upload_id: str) -> tuple[ResumableUpload, int]:
        upload = _found(await self._transaction.first(LOCK_BY_ID, upload_id=upload_id))
        counted = await self._transaction.first(COUNT_PARTS, upload_id=upload_id)
        return upload, counted[0] if counted else 0

    async def save(self, upload: ResumableUpload) -> None:
        await self._transaction.run(SAVE, upload_id=upload.id, offset=upload.offset, file_id=upload.file_id)

    async def add_parts(self, upload_id: str, parts: Sequence[UploadPart]) -> None:
        values = [{"upload_id": upload_id} | {name: getattr(part, name) for name in PART} for part in parts]
        await self._transaction.many(ADD_PART, values)

    async def remove_parts(self, upload_id: str) -> None:
        await self._transaction.run(REMOVE_PARTS, upload_ids=json.dumps([upload_id]))

    async def delete(self, upload_id: str) -> Sequence[UploadPart]:
        return await self._delete([upload_id])

    async def delete_owned_by(self, user_id: int, *, limit: int) -> tuple[int, Sequence[UploadPart]]:
        return await self._delete_all(OWNED_BY, owner_id=user_id, limit=limit)

    async def sweep(self, created_before: datetime, *, limit: int) -> tuple[int, Sequence[UploadPart]]:
        return await self._delete_all(CREATED_BEFORE, created_before=created_before, limit=limit)

    async def _delete_all(self, some: Statement, **values: Any) -> tuple[int, Sequence[UploadPart]]:
        found = await self._transaction.all(some, **values)
        return len(found), await self._delete([row[0] for row in found])

    async def _delete(self, upload_ids: Sequence[str]) -> Sequence[UploadPart]:
        given = json.dumps(upload_ids)
        parts = _parts_in(await self._transaction.all(REMOVE_PARTS, upload_ids=given))
        await self._transaction.run(DELETE, upload_ids=given)
        return parts


def _found(row: Row | None) -> ResumableUpload:
    if row is None:
        raise UploadNotFound
    return upload_of(row)


async def find_upload(database: Database, upload_id: str) -> ResumableUpload:
    """Raises `UploadNotFound`."""
    return _found(await database.first(BY_ID, upload_id=upload_id))


async def parts_of(database: Database, upload_id: str) -> Sequence[UploadPart]:
    """The parts of that upload in their order."""
    return _parts_in(await database.all(PARTS_OF, upload_id=upload_id))
