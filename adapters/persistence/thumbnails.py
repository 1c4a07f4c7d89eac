"""Which thumbnails there are, and what bytes they are."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, delete, exists, not_, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from adapters.persistence.blobs import LOCK, SHARE
from adapters.persistence.database import Database, Transaction
from adapters.persistence.rows import BlobRow, FileRow, ThumbnailRow
from adapters.persistence.statements import Statement
from domain.files import FileNotFound
from domain.images import Thumbnail, ThumbnailSize

# PostgreSQL's insert: SQLite has the same clause, in the same words.
ADD: Final = Statement(
    insert(ThumbnailRow)
    .values({name: bindparam(name) for name in ("source", "fits", "sha256")})
    .on_conflict_do_update(index_elements=["source", "fits"], set_={"sha256": bindparam("sha256")})
)
REMOVE_OF: Final = Statement(
    delete(ThumbnailRow)
    .where(col(ThumbnailRow.source) == bindparam("of"), not_(exists().where(col(FileRow.sha256) == bindparam("of"))))
    .returning(col(ThumbnailRow.sha256))
)
FIND: Final = Statement(
    select(col(BlobRow.sha256), col(BlobRow.size))
    .join(ThumbnailRow, col(ThumbnailRow.sha256) == col(BlobRow.sha256))
    .where(col(ThumbnailRow.source) == bindparam("of"), col(ThumbnailRow.fits) == bindparam("within"))
)


class SqlThumbnails:
    """Implements `Thumbnails`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, thumbnail: Thumbnail) -> None:
        if await self._transaction.first(SHARE, hash=thumbnail.source) is None:
            raise FileNotFound
        await self._transaction.run(ADD, source=thumbnail.source, fits=int(thumbnail.fits), sha256=thumbnail.sha256)

    async def remove_of(self, source: str) -> Sequence[str]:
        await self._transaction.first(LOCK, hash=source)
        return [row[0] for row in await self._transaction.all(REMOVE_OF, of=source)]


async def find_thumbnail(database: Database, source: str, fits: ThumbnailSize) -> Thumbnail | None:
    row = await database.first(FIND, of=source, within=int(fits))
    return Thumbnail(source, fits, sha256=row[0], size=row[1]) if row else None
