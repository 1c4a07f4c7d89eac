"""Stores of blobs put together alike, and what their tests do with them."""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.storage.disk import DiskBlobStore
from adapters.storage.s3 import S3BlobStore
from application.ports.storage import BlobStore, Staged
from tests.fakes import InMemoryBlobStore, SettableClock
from tests.s3_servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server

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


def in_bucket(server: S3Server) -> Subject:
    bucket = server.new_bucket()
    return Subject(s3_blobs(server, bucket), lambda: server.names_in(bucket))


def s3_blobs(server: S3Server, bucket: str, **changes: Any) -> S3BlobStore:
    values: dict[str, Any] = {
        "region": "us-east-1",
        "endpoint_url": server.url,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY,
    }
    return S3BlobStore(bucket, **(values | changes))


def on_disk(folder: Path) -> Subject:
    return Subject(DiskBlobStore(folder), lambda: files_in(folder))


def files_in(folder: Path) -> set[str]:
    """The paths of all files below."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
