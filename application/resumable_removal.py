"""What becomes of uploads in several requests that are given up, expire, or lose their owner."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.persistence import Begin
from application.ports.storage import BlobStore, Staged
from application.uploads import discard
from domain.resumable import LIFETIME, UploadPart
from domain.users import Actor

BATCH: Final = 100
"""Uploads that a transaction removes at most, so that none of them lasts long."""


@dataclass(frozen=True)
class TerminateUpload:
    """Give up an upload, or forget one that is finished: the file stays. Raises `UploadNotFound`."""

    begin: Begin
    store: BlobStore
    clock: Clock

    async def __call__(self, actor: Actor, upload_id: str) -> None:
        async with self.begin() as work:
            upload, _ = await work.resumable_uploads.get(upload_id)
            upload.must_belong_to(actor)
            upload.must_be_alive(self.clock.now())
            parts = await work.resumable_uploads.delete(upload_id)
        await discard_parts(self.store, parts)


@dataclass(frozen=True)
class RemoveUploadsOfUser:
    """The reaction to `UserDeleted`: in batches, so that it holds nothing up however many there are."""

    begin: Begin
    store: BlobStore

    async def __call__(self, job: Job) -> None:
        removed = BATCH
        while removed >= BATCH:
            async with self.begin() as work:
                removed, parts = await work.resumable_uploads.delete_owned_by(job.payload["user_id"], limit=BATCH)
            await discard_parts(self.store, parts)


@dataclass(frozen=True)
class SweepResumableUploads:
    """Remove uploads that have expired, in batches."""

    begin: Begin
    store: BlobStore
    clock: Clock

    async def __call__(self, _: Job) -> None:
        created_before = self.clock.now() - LIFETIME
        removed = BATCH
        while removed >= BATCH:
            async with self.begin() as work:
                removed, parts = await work.resumable_uploads.sweep(created_before, limit=BATCH)
            await discard_parts(self.store, parts)


def staged_of(part: UploadPart) -> Staged:
    """The bytes of a part, as the store knows them."""
    return Staged(part.key, part.sha256, part.size)


async def discard_parts(store: BlobStore, parts: Sequence[UploadPart]) -> None:
    """As `discard`."""
    await discard(store, [staged_of(part) for part in parts])
