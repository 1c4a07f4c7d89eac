"""How bytes become files.

Staged first, then claimed, then kept, then referred to: at whichever step an upload ends, there is no file without its
bytes, and the bytes that nothing refers to are collected.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from application.idempotency import Keep
from application.ports.clock import Clock
from application.ports.persistence import Begin, Reads
from application.ports.security import Secrets
from application.ports.storage import BlobStore, Staged
from domain.errors import Unavailable
from domain.events import ContentAbandoned, FileCreated
from domain.files import Claim, File, FileTooLarge, ImageInfo, QuotaExceeded, content_type, label
from domain.users import Actor, UserId

MOST_FILES: Final = 20
"""Files that may be uploaded together."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it is sent: `filename` and `content_type` are what the client says."""

    filename: str
    content_type: str | None
    chunks: AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class Draft:
    """A file to be, whose bytes are staged. `filename` is a label."""

    filename: str
    content_type: str
    staged: Staged
    image: ImageInfo | None = None


@dataclass(frozen=True)
class StageUpload:
    """Write a stream to the store, and stop as soon as it is more than is allowed.

    `limit` and `beside` are in bytes; `beside` is what else of this upload is staged already. Nothing is left behind
    by what it raises: `FileTooLarge`, `QuotaExceeded`, `StorageFull`, `Unavailable`, or what the stream raises.
    """

    reads: Reads
    store: BlobStore
    quota: int

    async def __call__(self, owner_id: UserId, chunks: AsyncIterable[bytes], *, limit: int, beside: int = 0) -> Staged:
        room = self.quota - beside - await self.reads.bytes_used_by(owner_id)
        return await self.store.stage(_bounded(chunks, limit, room))


async def _bounded(chunks: AsyncIterable[bytes], limit: int, room: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise FileTooLarge(limit)
        if size > room:
            raise QuotaExceeded
        yield chunk


@dataclass(frozen=True)
class KeepDrafts:
    """Make files of what is staged: all of them or none. `keep`, if it is given, is done in the same transaction.

    Whatever it raises, nothing stays staged: `QuotaExceeded`; `InvalidAccessToken` when the account was deleted
    meanwhile; `Unavailable`; or what `keep` raises.
    """

    begin: Begin
    store: BlobStore
    secrets: Secrets
    clock: Clock
    quota: int

    async def __call__(
        self, owner_id: UserId, drafts: Sequence[Draft], keep: Keep[Sequence[File]] | None = None
    ) -> Sequence[File]:
        now = self.clock.now()
        claims = [Claim(self.secrets.new_id(), d.staged.sha256, d.staged.size, now) for d in drafts]
        try:
            async with self.begin() as work:
                await work.blobs.claim(claims)
            try:
                for draft in drafts:
                    await self.store.keep(draft.staged)
                return await self._refer(owner_id, drafts, claims, keep)
            except BaseException:
                await asyncio.shield(self._abandon(claims))
                raise
        except BaseException:
            await asyncio.shield(discard(self.store, drafts))
            raise

    async def _refer(
        self, owner_id: UserId, drafts: Sequence[Draft], claims: Sequence[Claim], keep: Keep[Sequence[File]] | None
    ) -> Sequence[File]:
        now = self.clock.now()
        async with self.begin() as work:
            if await work.blobs.release(claims) < len(claims):  # it took so long that they were taken for dead
                raise Unavailable
            used = await work.files.used_by(owner_id)
            if used + sum(draft.staged.size for draft in drafts) > self.quota:
                raise QuotaExceeded
            files = []
            for draft in drafts:
                file = File(
                    filename=draft.filename,
                    content_type=draft.content_type,
                    size=draft.staged.size,
                    sha256=draft.staged.sha256,
                    owner_id=owner_id,
                    image=draft.image,
                    created_at=now,
                )
                files.append(await work.files.add(file))
                work.announce(FileCreated(files[-1].id, owner_id))
            if keep is not None:
                await keep(work, files)
        return files

    async def _abandon(self, claims: Sequence[Claim]) -> None:
        """Give the bytes free at once. If that can't be, the claims grow too old, and the sweep finds the bytes."""
        with suppress(Unavailable):
            async with self.begin() as work:
                await work.blobs.release(claims)
                for sha256 in {claim.sha256 for claim in claims}:
                    work.announce(ContentAbandoned(sha256))


async def discard(store: BlobStore, drafts: Sequence[Draft]) -> None:
    """Remove what is staged; what can't be removed now is swept later."""
    for draft in drafts:
        with suppress(Unavailable):
            await store.discard(draft.staged)


@dataclass(frozen=True)
class StoreFiles:
    """Store files as they come, one after the other: all of them or none.

    Raises `InvalidFilename`, what `StageUpload` and `KeepDrafts` raise, and what the streams raise.
    """

    stage: StageUpload
    keep_drafts: KeepDrafts
    store: BlobStore
    max_bytes: int

    async def __call__(self, actor: Actor, uploads: AsyncIterable[Upload]) -> Sequence[File]:
        drafts: list[Draft] = []
        try:
            async for upload in uploads:
                name = label(upload.filename)
                beside = sum(draft.staged.size for draft in drafts)
                staged = await self.stage(actor.user.id, upload.chunks, limit=self.max_bytes, beside=beside)
                drafts.append(Draft(name, content_type(upload.content_type), staged))
        except BaseException:
            await asyncio.shield(discard(self.store, drafts))
            raise
        return await self.keep_drafts(actor.user.id, drafts)
