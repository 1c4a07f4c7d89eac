"""Looking after one's own files."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from application.ports.jobs import Job
from application.ports.persistence import Begin, Reads
from application.ports.storage import BlobStore
from domain.events import ContentAbandoned, FileDeleted
from domain.files import File, label
from domain.pages import Page, PageRequest
from domain.users import Actor

BATCH: Final = 200
"""Files of a deleted user that a transaction removes at most, so that none of them lasts long."""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that somebody may have, and what they are called and said to be."""

    sha256: str
    size: int
    """Bytes."""
    content_type: str
    filename: str
    store: BlobStore

    def read(self, start: int, end: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes from `start` up to, not including, `end`. Raises `BlobMissing` on entering."""
        return self.store.read(self.sha256, start, end)

    @property
    def path(self) -> Path | None:
        """Where they lie on this machine, if they do."""
        return self.store.path_of(self.sha256)


def content_of(file: File, store: BlobStore) -> Content:
    return Content(file.sha256, file.size, file.content_type, file.filename, store)


@dataclass(frozen=True)
class GetFile:
    """Raises `FileNotFound`."""

    reads: Reads

    async def __call__(self, actor: Actor, file_id: int) -> File:
        file = await self.reads.file(file_id)
        file.must_belong_to(actor)
        return file


@dataclass(frozen=True)
class ListFiles:
    """One's own files, newest first."""

    reads: Reads

    async def __call__(self, actor: Actor, request: PageRequest) -> Page[File]:
        return await self.reads.files(actor.user.id, request)


@dataclass(frozen=True)
class OpenFile:
    """The content of one's own file. Raises `FileNotFound`."""

    reads: Reads
    store: BlobStore

    async def __call__(self, actor: Actor, file_id: int) -> Content:
        file = await self.reads.file(file_id)
        file.must_belong_to(actor)
        return content_of(file, self.store)


@dataclass(frozen=True)
class OpenNewest:
    """The content of one's own newest file of that name, which is looked up as a label.

    Raises `FileNotFound`, or `InvalidFilename` for what can't be one.
    """

    reads: Reads
    store: BlobStore

    async def __call__(self, actor: Actor, filename: str) -> Content:
        return content_of(await self.reads.newest_file(actor.user.id, label(filename)), self.store)


@dataclass(frozen=True)
class DeleteFile:
    """Remove one's own file; its bytes go too, once nothing else refers to them. Raises `FileNotFound`."""

    begin: Begin

    async def __call__(self, actor: Actor, file_id: int) -> None:
        async with self.begin() as work:
            file = await work.files.get(file_id)
            file.must_belong_to(actor)
            await work.files.delete(file_id)
            work.announce(FileDeleted(file.id, file.owner_id, file.sha256))


@dataclass(frozen=True)
class RemoveFilesOfUser:
    """The reaction to `UserDeleted`: in batches, so that it holds nothing up however many there are."""

    begin: Begin

    async def __call__(self, job: Job) -> None:
        removed = BATCH
        while removed >= BATCH:
            async with self.begin() as work:
                files = await work.files.delete_owned_by(job.payload["user_id"], limit=BATCH)
                for sha256 in {file.sha256 for file in files}:  # nobody is left to be told of the files
                    work.announce(ContentAbandoned(sha256))
            removed = len(files)
