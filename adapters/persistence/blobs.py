"""Which bytes the store has, who is about to use them, and who is about to delete them.

Whoever claims bytes and whoever dooms them lock the same row, so one of them waits for the other and sees what it did:
in PostgreSQL by the row's lock, in SQLite because there is one writer at a time anyway.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, bindparam, delete, exists, literal, not_, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from adapters.persistence.database import Database, Transaction
from adapters.persistence.rows import BlobClaimRow, BlobRow, FileRow, ThumbnailRow
from adapters.persistence.statements import Statement, now_ms
from application.ports.persistence.blobs import BeingDeleted
from domain.files import Claim, Doom

_OVER: Final = or_(col(BlobRow.doomed_until).is_(None), col(BlobRow.doomed_until) <= now_ms())

# PostgreSQL's insert: SQLite has the same clause, in the same words. The update is there for its lock, which is had
# also where the row is doomed.
ADD: Final = Statement(
    insert(BlobRow)
    .values({name: bindparam(name) for name in ("sha256", "size")})
    .on_conflict_do_update(
        index_elements=["sha256"], set_={"size": bindparam("size")}, where=col(BlobRow.doomed_until).is_(None)
    )
)
LIFT: Final = Statement(
    update(BlobRow).where(col(BlobRow.sha256) == bindparam("hash"), _OVER).values(doomed_until=None)
)
CLAIM: Final = Statement(
    insert(BlobClaimRow).values({name: bindparam(name) for name in ("id", "sha256", "claimed_at")})
)
RELEASE: Final = Statement(delete(BlobClaimRow).where(col(BlobClaimRow.id) == bindparam("claim_id")))
LOCK: Final = Statement(select(literal(1)).where(col(BlobRow.sha256) == bindparam("hash")).with_for_update())
# Not those that were doomed: nobody has claimed them since.
SHARE: Final = Statement(
    select(literal(1))
    .where(col(BlobRow.sha256) == bindparam("hash"), col(BlobRow.doomed_until).is_(None))
    .with_for_update(read=True, key_share=True)
)

_USED: Final = or_(
    exists().where(col(FileRow.sha256) == col(BlobRow.sha256)),
    exists().where(col(ThumbnailRow.sha256) == col(BlobRow.sha256)),
    exists().where(
        and_(col(BlobClaimRow.sha256) == col(BlobRow.sha256), col(BlobClaimRow.claimed_at) >= bindparam("claimed"))
    ),
)
"""Whatever refers to bytes is named here."""

IS_USED: Final = Statement(select(literal(1)).where(col(BlobRow.sha256) == bindparam("hash"), _USED))
DROP_CLAIMS: Final = Statement(delete(BlobClaimRow).where(col(BlobClaimRow.sha256) == bindparam("hash")))
DOOM: Final = Statement(
    update(BlobRow)
    .where(col(BlobRow.sha256) == bindparam("hash"), _OVER)
    .values(doomed_until=now_ms() + bindparam("lease"))
    .returning(col(BlobRow.doomed_until))
)
DROP: Final = Statement(
    delete(BlobRow).where(col(BlobRow.sha256) == bindparam("hash"), col(BlobRow.doomed_until) == bindparam("until"))
)
UNUSED: Final = Statement(
    select(col(BlobRow.sha256))
    .where(col(BlobRow.sha256) > bindparam("after"), not_(_USED))
    .order_by(col(BlobRow.sha256))
    .limit(bindparam("limit"))
)


class SqlBlobs:
    """Implements `Blobs`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def claim(self, claims: Sequence[Claim]) -> None:
        for claim in sorted(claims, key=lambda claim: claim.sha256):  # all lock in one order, so nobody waits in a ring
            if await self._transaction.run(ADD, sha256=claim.sha256, size=claim.size) == 0:
                await self._lift(claim.sha256)
            await self._transaction.run(CLAIM, id=claim.id, sha256=claim.sha256, claimed_at=claim.claimed_at)

    async def release(self, claims: Sequence[Claim]) -> int:
        released = 0
        for claim in sorted(claims, key=lambda claim: claim.sha256):
            await self._transaction.first(SHARE, hash=claim.sha256)  # as whoever collects does: the bytes come first
            released += await self._transaction.run(RELEASE, claim_id=claim.id)
        return released

    async def _lift(self, sha256: str) -> None:
        """Raises `BeingDeleted` unless the doom is over."""
        if await self._transaction.run(LIFT, hash=sha256) == 0:
            raise BeingDeleted

    async def doom(self, sha256: str, *, claimed_before: datetime, lease: timedelta) -> Doom | None:
        if await self._transaction.first(LOCK, hash=sha256) is None:
            return None
        # A statement of its own: it sees what was committed before it began, so before the lock was had.
        if await self._transaction.first(IS_USED, hash=sha256, claimed=claimed_before) is not None:
            return None
        await self._transaction.run(DROP_CLAIMS, hash=sha256)
        row = await self._transaction.first(DOOM, hash=sha256, lease=int(lease.total_seconds() * 1000))
        if row is None:
            raise BeingDeleted
        return Doom(sha256, until=row[0])

    async def forget(self, doom: Doom) -> bool:
        return await self._transaction.run(DROP, hash=doom.sha256, until=doom.until) > 0


async def unused_blobs(database: Database, *, claimed_before: datetime, after: str, limit: int) -> Sequence[str]:
    """Hashes that nothing refers to, without a claim as young as that."""
    rows = await database.all(UNUSED, claimed=claimed_before, after=after, limit=limit)
    return [row[0] for row in rows]
