"""How bytes become files.

Staged first, then claimed, then kept, then referred to: at whichever step an upload ends, there is no file without its
bytes, and the bytes that nothing refers to are collected.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from application.ports.clock import Clock
from application.ports.persistence import Also, Begin, DatabaseFull, Reads, Work
from application.ports.persistence.blobs import BeingDeleted
from application.ports.security import Secrets
from application.ports.storage import BlobStore, Staged, StorageFull
from application.uninterrupted import to_the_end
from domain.errors import Unavailable
from domain.events import ContentAbandoned, FileCreated
from domain.files import Claim, File, FileTooLarge, content_type, label, must_have_room
from domain.images import ImageInfo
from domain.users import Actor, UserId

MOST_FILES: Final = 20
"""Files that may be uploaded together."""

PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds between looking whether bytes that were being deleted can be had."""

Kept = TypeVar("Kept")


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
    is_export: bool = False


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
        used = beside + await self.reads.bytes_used_by(owner_id)
        return await self.store.stage(self._bounded(chunks, limit, used))

    async def _bounded(self, chunks: AsyncIterable[bytes], limit: int, used: int) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise FileTooLarge(limit)
            must_have_room(used=used, more=size, quota=self.quota)
            yield chunk


@asynccontextmanager
async def within_room(begin: Begin) -> AsyncIterator[Work]:
    """A transaction of what stores something. Raises `StorageFull` if the database has no room left for it: on one disk
    with the files, it is the same disk that is full."""
    try:
        async with begin() as work:
            yield work
    except DatabaseFull:
        raise StorageFull from None


@dataclass(frozen=True)
class KeepStaged:
    """Keep what is staged, and have `refer` make something refer to it: all of it or none.

    Whatever it raises, nothing stays staged: `StorageFull`, `Unavailable`, or what `refer` raises.
    """

    begin: Begin
    store: BlobStore
    secrets: Secrets
    clock: Clock

    async def __call__(self, staged: Sequence[Staged], refer: Callable[[Work], Awaitable[Kept]]) -> Kept:
        now = self.clock.now()
        claims = [Claim(self.secrets.new_id(), bytes_.sha256, bytes_.size, now) for bytes_ in staged]
        try:
            await self._claim(claims)
            # If this fails, the claims stay: a store that gave no answer in time may still do it, and the sweep then
            # finds the bytes.
            for bytes_ in staged:
                await to_the_end(self.store.keep(bytes_))
            try:
                async with within_room(self.begin) as work:
                    if await work.blobs.release(claims) < len(claims):  # it took so long that they count as dead
                        raise Unavailable
                    return await refer(work)
            except BaseException:
                await asyncio.shield(self._abandon(claims))
                raise
        except BaseException:
            await discard(self.store, staged)
            raise

    async def _claim(self, claims: Sequence[Claim]) -> None:
        """Waits a little for a deletion of some of these bytes: mostly it is done in a moment."""
        for pause in (*PAUSES, None):
            try:
                async with within_room(self.begin) as work:
                    await work.blobs.claim(claims)
            except BeingDeleted:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _abandon(self, claims: Sequence[Claim]) -> None:
        """Give the bytes free at once. If that can't be, the claims grow too old, and the sweep finds the bytes."""
        with suppress(Unavailable):
            async with self.begin() as work:
                await work.blobs.release(claims)
                for sha256 in {claim.sha256 for claim in claims}:
                    work.announce(ContentAbandoned(sha256))


async def discard(store: BlobStore, staged: Sequence[Staged]) -> None:
    """Remove what is staged, even if whoever asks for it goes away; what can't be removed now is swept later."""

    async def remove() -> None:
        for bytes_ in staged:
            with suppress(Unavailable):
                await store.discard(bytes_)

    await asyncio.shield(remove())


@dataclass(frozen=True)
class KeepDrafts:
    """Make files of what is staged: all of them or none. `also`, if it is given, is done in the same transaction.
    `finished` is the resumable upload whose bytes they are, if they are one's: they count once.

    Whatever it raises, nothing stays staged: `QuotaExceeded`; `InvalidAccessToken` when the account was deleted
    meanwhile; `Unavailable`; or what `also` raises.
    """

    keep_staged: KeepStaged
    clock: Clock
    quota: int

    async def __call__(
        self,
        owner_id: UserId,
        drafts: Sequence[Draft],
        also: Also[Sequence[File]] | None = None,
        *,
        finished: str = "",
    ) -> Sequence[File]:
        async def refer(work: Work) -> Sequence[File]:
            used = await work.files.used_by(owner_id, but=finished)
            must_have_room(used=used, more=sum(draft.staged.size for draft in drafts), quota=self.quota)
            files = await self._refer(work, owner_id, drafts)
            if also is not None:
                await also(work, files)
            return files

        return await self.keep_staged([draft.staged for draft in drafts], refer)

    async def _refer(self, work: Work, owner_id: UserId, drafts: Sequence[Draft]) -> Sequence[File]:
        now = self.clock.now()
        files = []
        for draft in drafts:
            file = File(
                filename=draft.filename,
                content_type=draft.content_type,
                size=draft.staged.size,
                sha256=draft.staged.sha256,
                owner_id=owner_id,
                image=draft.image,
                is_export=draft.is_export,
                created_at=now,
            )
            files.append(await work.files.add(file))
            work.announce(FileCreated(files[-1]))
        return files


@dataclass(frozen=True)
class StageDrafts:
    """Stage files as they come, one after the other: all of them or none. `typed` says of what type each one is.

    Raises `InvalidFilename`, and what `StageUpload`, `typed` and the streams raise.
    """

    stage: StageUpload
    store: BlobStore

    async def __call__(
        self, owner_id: UserId, uploads: AsyncIterable[Upload], *, limit: int, typed: Callable[[str, Upload], str]
    ) -> Sequence[Draft]:
        drafts: list[Draft] = []
        try:
            async for upload in uploads:
                name = label(upload.filename)
                type_ = typed(name, upload)
                beside = sum(draft.staged.size for draft in drafts)
                staged = await self.stage(owner_id, upload.chunks, limit=limit, beside=beside)
                drafts.append(Draft(name, type_, staged))
        except BaseException:
            await discard(self.store, [draft.staged for draft in drafts])
            raise
        return drafts


@dataclass(frozen=True)
class StoreFiles:
    """Store files as they come: all of them or none. Raises what `StageDrafts` and `KeepDrafts` raise."""

    stage_drafts: StageDrafts
    keep_drafts: KeepDrafts
    max_bytes: int

    async def __call__(self, actor: Actor, uploads: AsyncIterable[Upload]) -> Sequence[File]:
        drafts = await self.stage_drafts(actor.user.id, uploads, limit=self.max_bytes, typed=_declared)
        return await self.keep_drafts(actor.user.id, drafts)


def _declared(_: str, upload: Upload) -> str:
    return content_type(upload.content_type)
