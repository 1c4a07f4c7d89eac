"""Files that are sent in several requests.

What comes is staged in parts of 16 MiB, each written down once it is durable, so whatever happens costs no more than
the last of them. The bytes that complete an upload are written down only together with the file: an upload that has all
its bytes is a file.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from application.ports.clock import Clock
from application.ports.persistence import Begin, Reads, Work
from application.ports.storage import BlobStore, StorageFull
from application.resumable_removal import discard_parts, staged_of
from application.uploads import Draft, KeepDrafts, within_room
from domain.errors import Refusal, Unavailable
from domain.files import File, must_have_room
from domain.resumable import Checksum, LongerThanSaid, OffsetMismatch, ResumableUpload, UploadPart
from domain.users import Actor

PART: Final = 16 * 1024 * 1024
"""Bytes of a part at the most, but for what is left of a chunk."""


@dataclass(frozen=True)
class GetResumableUpload:
    """Raises `UploadNotFound`."""

    reads: Reads
    clock: Clock

    async def __call__(self, actor: Actor, upload_id: str) -> ResumableUpload:
        upload = await self.reads.resumable_upload(upload_id)
        upload.must_belong_to(actor)
        upload.must_be_alive(self.clock.now())
        return upload


@dataclass(frozen=True)
class ReceiveUpload:
    """Go on with an upload at `offset`, and make a file of it when it is complete.

    What came before the stream failed is kept, unless it has a checksum, and then the stream's own exception is raised.
    `declared` is how many bytes there are said to be, 0 if nothing is said. Two who send at once are told apart by the
    offset: the later one to write its part down gets `OffsetMismatch`.

    Raises `UploadNotFound`, `OffsetMismatch`, `LongerThanSaid`, `ChecksumMismatch`, `TooManyParts`, and what
    `KeepDrafts` raises.
    """

    reads: Reads
    begin: Begin
    get: GetResumableUpload
    store: BlobStore
    keep_drafts: KeepDrafts
    quota: int

    async def __call__(
        self,
        actor: Actor,
        upload_id: str,
        *,
        offset: int,
        chunks: AsyncIterable[bytes],
        declared: int,
        checksum: Checksum | None,
    ) -> ResumableUpload:
        upload = await self.get(actor, upload_id)
        upload.must_be_at(offset)
        if declared > upload.length - offset:
            raise LongerThanSaid
        body = _Body(chunks, upload.length - offset, checksum)
        pending: list[UploadPart] = []
        try:
            while not body.ended:
                staged = await self.store.stage(body.part())
                pending.append(UploadPart(offset, staged.key, staged.sha256, staged.size))
                offset += staged.size
                if checksum is None and offset < upload.length:
                    parts, pending = pending, []
                    upload = await self._write_down(upload, parts)
            body.verify()
            if upload.file_id is None and offset == upload.length:
                upload = await self._finish(upload, pending)
            else:
                parts, pending = pending, []
                upload = await self._write_down(upload, parts)
        except BaseException:
            await discard_parts(self.store, pending)
            raise
        if body.failure is not None:
            raise body.failure
        return upload

    async def _write_down(self, upload: ResumableUpload, parts: Sequence[UploadPart]) -> ResumableUpload:
        """Go on by these parts. They are removed if that is refused; if it fails, they may be written down all the
        same, and are left to the sweep if they aren't."""
        empty, parts = _sifted(parts)
        try:
            if parts:
                async with within_room(self.begin) as work:
                    used = await work.files.used_by(upload.owner_id)
                    must_have_room(used=used, more=sum(part.size for part in parts), quota=self.quota)
                    upload, had = await work.resumable_uploads.get(upload.id)
                    upload.take(parts, had)
                    await work.resumable_uploads.add_parts(upload.id, parts)
                    await work.resumable_uploads.save(upload)
        except Refusal as error:
            if not isinstance(error, Unavailable) or isinstance(error, StorageFull):
                await discard_parts(self.store, parts)
            raise
        finally:
            await discard_parts(self.store, empty)
        return upload

    async def _finish(self, upload: ResumableUpload, last: Sequence[UploadPart]) -> ResumableUpload:
        empty, parts = _sifted([*await self.reads.parts_of(upload.id), *last])
        finished: ResumableUpload
        if sum(part.size for part in parts) != upload.length:  # somebody else went on with it, or terminated it
            raise OffsetMismatch

        async def finish(work: Work, files: Sequence[File]) -> None:
            nonlocal finished
            finished, _ = await work.resumable_uploads.get(upload.id)
            finished.must_be_at(upload.offset)
            finished.finish(files[0].id)
            await work.resumable_uploads.save(finished)
            await work.resumable_uploads.remove_parts(upload.id)

        whole = staged_of(parts[0]) if len(parts) == 1 else await self.store.stage(self._joined(parts))
        draft = Draft(upload.filename, upload.content_type, whole)
        await self.keep_drafts(upload.owner_id, [draft], finish, finished=upload.id)
        await discard_parts(self.store, [*empty, *parts])
        return finished

    async def _joined(self, parts: Sequence[UploadPart]) -> AsyncIterator[bytes]:
        for part in parts:
            async with self.store.read_staged(staged_of(part)) as pieces:
                async for piece in pieces:
                    yield piece


class _Body:
    """What one request brings, in parts. No more than `room` bytes are taken."""

    def __init__(self, chunks: AsyncIterable[bytes], room: int, checksum: Checksum | None) -> None:
        self._chunks = aiter(chunks)
        self._room = room
        self._checksum = checksum
        self._hash = checksum.new_hash() if checksum else None
        self.ended = False
        self.failure: Exception | None = None
        """What the stream raised, if it did."""

    async def part(self) -> AsyncIterator[bytes]:
        """The next part. One that ends early because the stream failed is as good as any other."""
        size = 0
        while size < PART:
            try:
                chunk = await anext(self._chunks, None)
            except Exception as error:
                self.failure, chunk = error, None
            if chunk is None:
                self.ended = True
                return
            size += len(chunk)
            self._room -= len(chunk)
            if self._room < 0:
                raise LongerThanSaid
            if self._hash is not None:
                self._hash.update(chunk)
            yield chunk

    def verify(self) -> None:
        """Raises `ChecksumMismatch`, or what the stream raised if that can't be told."""
        if self._checksum is None or self._hash is None:
            return
        if self.failure is not None:
            raise self.failure
        self._checksum.must_be_that_of(self._hash)


def _sifted(parts: Sequence[UploadPart]) -> tuple[Sequence[UploadPart], Sequence[UploadPart]]:
    """Those without any bytes, and the others."""
    return [part for part in parts if part.size == 0], [part for part in parts if part.size > 0]
