"""Stored bytes: addressed by their hash, so that equal content is kept once and no name is ever a path."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from domain.errors import NotFound, Unavailable


class StorageFull(Unavailable):
    """There is no room left; nothing was kept."""

    code = "storage_full"
    message = "There is no room left to store this. Please try again later"


class BlobMissing(NotFound):
    """No bytes are stored under this hash."""

    code = "content_not_found"
    message = "The content is no longer there"


@dataclass(frozen=True, slots=True)
class Staged:
    """Bytes that are durable, but under no hash yet: they are kept, discarded, or swept some day."""

    key: str
    sha256: str
    """64 lower-case hexadecimal digits."""
    size: int
    """Bytes."""


class BlobStore(Protocol):
    """The bytes of files. Any method raises `Unavailable` when the store can't be reached in time.

    Bytes come in two steps. `stage` writes and hashes them; the database is then told which hash is about to be
    used; only then does `keep` give them their name. Whatever collects unused bytes tells the database so, too, before
    it does, so it never takes bytes that somebody is about to refer to.
    """

    async def stage(self, chunks: AsyncIterable[bytes]) -> Staged:
        """Write a stream of any size in constant memory, and hash it meanwhile. Durable once it returns.

        Raises `StorageFull`, or what `chunks` raises; nothing is left behind then.
        """

    async def keep(self, staged: Staged) -> None:
        """Give staged bytes their hash as their name; durable once it returns. Bytes that are there are replaced by
        their equals. Raises `BlobMissing` if what was staged is gone."""

    async def discard(self, staged: Staged) -> None:
        """Remove staged bytes. No error if they are gone."""

    def read_staged(self, staged: Staged) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """All bytes of what was staged. Raises `BlobMissing` on entering."""

    def read(
        self, sha256: str, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes from `start` up to, not including, `end`. Raises `BlobMissing` on entering."""

    async def delete(self, sha256: str) -> None:
        """Remove the bytes. No error if they are gone.

        It takes no longer than two minutes. What raises `Unavailable` by then may still be done, moments later.
        """

    async def sweep(self, before: datetime) -> int:
        """Remove what was staged before that time and neither kept nor discarded; how much there was."""

    async def ping(self) -> None:
        """Return when the store can be written to. Raises `Unavailable` or `StorageFull`."""

    def path_of(self, sha256: str) -> Path | None:
        """Where the bytes lie on this machine, for the kernel to send them; None if they lie elsewhere.

        Whether they are there is not looked at. Raises `BlobMissing` if it is no hash."""
