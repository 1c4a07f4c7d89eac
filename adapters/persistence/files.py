"""Files in the database."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, delete, exists, func, select
from sqlmodel import col

from adapters.persistence.database import Database, Transaction
from adapters.persistence.owned import delete_owned, insert_owned
from adapters.persistence.pages import newest_first, page_of
from adapters.persistence.rows import FileRow, ResumableUploadRow, UserRow
from adapters.persistence.statements import Row, Statement
from domain.files import File, FileId, FileNotFound
from domain.images import ImageFormat, ImageInfo
from domain.pages import Page, PageRequest
from domain.sessions import InvalidAccessToken

PLAIN: Final = ("filename", "content_type", "size", "sha256", "owner_id", "created_at", "is_export")
"""The columns that the entity's fields of the same names are kept in, but for its id."""
WRITTEN: Final = (*PLAIN, "image_width", "image_height", "image_format")

TABLE: Final = FileRow.__table__  # type: ignore[attr-defined]
COLUMNS: Final = tuple(TABLE.c[name] for name in ("id", *WRITTEN))
"""What `file_of` wants, in its order."""

LOCK_OWNER: Final = Statement(
    select(col(UserRow.id)).where(col(UserRow.id) == bindparam("owner_id")).with_for_update(key_share=True)
)
# A statement of its own: what is seen under the lock must be as it is once the lock is had.
_STORED: Final = select(func.coalesce(func.sum(col(FileRow.size)), 0)).where(
    col(FileRow.owner_id) == bindparam("owner_id")
)
_RECEIVED: Final = select(func.coalesce(func.sum(col(ResumableUploadRow.offset)), 0)).where(
    col(ResumableUploadRow.owner_id) == bindparam("owner_id"),
    col(ResumableUploadRow.file_id).is_(None),
    col(ResumableUploadRow.id) != bindparam("but"),
)
USED: Final = Statement(select(_STORED.scalar_subquery() + _RECEIVED.scalar_subquery()))
ADD: Final = Statement(insert_owned(FileRow, WRITTEN).returning(col(FileRow.id)))
DELETE: Final = Statement(delete(FileRow).where(col(FileRow.id) == bindparam("file_id")))
DELETE_OWNED_BY: Final = Statement(delete_owned(FileRow, col(FileRow.id)).returning(*COLUMNS))
_BY_ID: Final = select(*COLUMNS).where(col(FileRow.id) == bindparam("file_id"))
BY_ID: Final = Statement(_BY_ID.where(exists().where(col(UserRow.id) == col(FileRow.owner_id))))
LOCK_BY_ID: Final = Statement(_BY_ID.with_for_update())

_OWNED: Final = col(FileRow.owner_id) == bindparam("owner_id")
NEWEST_NAMED: Final = Statement(
    select(*COLUMNS)
    .where(_OWNED, col(FileRow.filename) == bindparam("filename"))
    .order_by(col(FileRow.id).desc())
    .limit(bindparam("limit"))
)
NEWEST: Final = newest_first(
    select(*COLUMNS).where(_OWNED), col(FileRow.id), select(func.count()).select_from(FileRow).where(_OWNED)
)


def file_of(row: Row) -> File:
    """The file in a row of `COLUMNS`."""
    (id_, filename, content_type, size, sha256, owner_id, created_at, is_export, width, height, image_format) = row
    return File(
        id=id_,
        filename=filename,
        content_type=content_type,
        size=size,
        sha256=sha256,
        owner_id=owner_id,
        is_export=is_export,
        image=ImageInfo(width, height, ImageFormat(image_format)) if image_format is not None else None,
        created_at=created_at,
    )


def _values(file: File) -> dict[str, Any]:
    image = file.image
    return {name: getattr(file, name) for name in PLAIN} | {
        "image_width": image.width if image else None,
        "image_height": image.height if image else None,
        "image_format": image.format if image else None,
    }


class SqlFiles:
    """Implements `Files`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def used_by(self, owner_id: int, *, but: str = "") -> int:
        if await self._transaction.first(LOCK_OWNER, owner_id=owner_id) is None:
            raise InvalidAccessToken
        return _sum_in(await self._transaction.first(USED, owner_id=owner_id, but=but))

    async def add(self, file: File) -> File:
        row = await self._transaction.first(ADD, **_values(file))
        if row is None:
            raise InvalidAccessToken
        file.id = FileId(row[0])
        return file

    async def get(self, file_id: int) -> File:
        return _found(await self._transaction.first(LOCK_BY_ID, file_id=file_id))

    async def delete(self, file_id: int) -> None:
        await self._transaction.run(DELETE, file_id=file_id)

    async def delete_owned_by(self, user_id: int, *, limit: int) -> Sequence[File]:
        return [file_of(row) for row in await self._transaction.all(DELETE_OWNED_BY, owner_id=user_id, limit=limit)]


def _found(row: Row | None) -> File:
    if row is None:
        raise FileNotFound
    return file_of(row)


def _sum_in(row: Row | None) -> int:
    return int(row[0]) if row else 0  # PostgreSQL's sum of bigint is numeric


async def find_file(database: Database, file_id: int) -> File:
    """Raises `FileNotFound`, also once its owner is gone."""
    return _found(await database.first(BY_ID, file_id=file_id))


async def find_newest(database: Database, owner_id: int, filename: str) -> File:
    """That user's newest file of that name. Raises `FileNotFound`."""
    return _found(await database.first(NEWEST_NAMED, owner_id=owner_id, filename=filename, limit=1))


async def bytes_used_by(database: Database, owner_id: int) -> int:
    """What the files and the unfinished resumable uploads of that user take together."""
    return _sum_in(await database.first(USED, owner_id=owner_id, but=""))


async def page_of_files(database: Database, owner_id: int, request: PageRequest) -> Page[File]:
    """Newest first."""
    return await page_of(database, NEWEST, file_of, request, owner_id=owner_id)
