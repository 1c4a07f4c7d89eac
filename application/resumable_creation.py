"""Beginning a file that is sent in several requests."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.persistence import Begin
from application.ports.security import Secrets
from application.resumable import ReceiveUpload
from application.resumable_removal import TerminateUpload
from application.uploads import within_room
from domain.errors import Refusal
from domain.files import FileTooLarge, content_type, label, must_have_room
from domain.resumable import Checksum, ResumableUpload
from domain.users import Actor


@dataclass(frozen=True)
class CreateResumableUpload:
    """Raises `FileTooLarge`, `QuotaExceeded`, `InvalidFilename`, `StorageFull`, and `InvalidAccessToken` when the
    account was deleted meanwhile. `metadata` is given back to whoever asks after the upload.
    """

    begin: Begin
    secrets: Secrets
    clock: Clock
    max_bytes: int
    quota: int

    async def __call__(
        self, actor: Actor, *, length: int, filename: str, declared_type: str | None, metadata: str
    ) -> ResumableUpload:
        if length > self.max_bytes:
            raise FileTooLarge(self.max_bytes)
        upload = ResumableUpload(
            id=self.secrets.new_id(),
            owner_id=actor.user.id,
            length=length,
            filename=label(filename),
            content_type=content_type(declared_type),
            metadata=metadata,
            created_at=self.clock.now(),
        )
        async with within_room(self.begin) as work:
            must_have_room(used=await work.files.used_by(actor.user.id), more=length, quota=self.quota)
            await work.resumable_uploads.add(upload)
        return upload


@dataclass(frozen=True)
class BeginUpload:
    """Create an upload, and take its first bytes if `chunks` are there; one of no bytes at all is a file at once.

    If the bytes are refused or their stream fails, the upload is given up. Raises what `CreateResumableUpload` and
    `ReceiveUpload` raise.
    """

    create: CreateResumableUpload
    receive: ReceiveUpload
    terminate: TerminateUpload

    async def __call__(
        self,
        actor: Actor,
        *,
        length: int,
        filename: str,
        declared_type: str | None,
        metadata: str,
        chunks: AsyncIterable[bytes] | None,
        declared: int,
        checksum: Checksum | None,
    ) -> ResumableUpload:
        upload = await self.create(
            actor, length=length, filename=filename, declared_type=declared_type, metadata=metadata
        )
        if chunks is None and length > 0:
            return upload
        try:
            return await self.receive(
                actor, upload.id, offset=0, chunks=chunks or _nothing(), declared=declared, checksum=checksum
            )
        except Exception:
            with suppress(Refusal):  # else it expires
                await self.terminate(actor, upload.id)
            raise


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield
