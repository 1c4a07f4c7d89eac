"""Stores of blobs put together alike, and what their tests do with them."""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from adapters.storage.disk import DiskBlobStore
from application.ports.storage import BlobStore, Staged
from tests.fakes import InMemoryBlobStore, SettableClock

CONTENT = b"The Analytical Engine weaves algebraical patterns"
CONTENT_SHA256 = sha256(CONTENT).hexdigest()


@dataclass(frozen=True)
class Subject:
    """One implementation, empty at first."""

    blobs: BlobStore
    stored: Callable[[], set[str]]
    """The names of all that it holds, in whatever state."""


async def in_chunks(content: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    """The content as a client sends it."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def all_of(reading: AbstractAsyncContextManager[AsyncIterable[bytes]]) -> bytes:
    async with reading as pieces:
        return b"".join([piece async for piece in pieces])


async def kept(blobs: BlobStore, content: bytes = CONTENT) -> Staged:
    """Stored bytes, by the two steps."""
    staged = await blobs.stage(in_chunks(content))
    await blobs.keep(staged)
    return staged


def in_memory(clock: SettableClock) -> Subject:
    blobs = InMemoryBlobStore(clock)
    return Subject(blobs, lambda: {*blobs.blobs, *blobs.staged})


def on_disk(folder: Path) -> Subject:
    return Subject(DiskBlobStore(folder), lambda: files_in(folder))


def files_in(folder: Path) -> set[str]:
    """The paths of all files below."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
