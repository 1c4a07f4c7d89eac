"""Blobs in memory."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256 as new_sha256
from itertools import count
from typing import Final

from application.ports.clock import Clock
from application.ports.storage import BlobMissing, Staged, StorageFull
from domain.errors import Unavailable
from tests.fakes.transactions import must_be_outside_a_transaction

_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass
class InMemoryBlobStore:
    """A `BlobStore`. `blobs` are the bytes by their hash, `staged` those that are under none yet.

    More than `capacity` bytes in all raise `StorageFull`; while `available` is False, everything raises
    `Unavailable`. None of them may be called inside a transaction.
    """

    clock: Clock
    capacity: int | None = None
    available: bool = True
    blobs: dict[str, bytes] = field(default_factory=dict)
    staged: dict[str, tuple[datetime, bytes]] = field(default_factory=dict)
    _keys: "count[int]" = field(default_factory=lambda: count(1))

    async def stage(self, chunks: AsyncIterable[bytes]) -> Staged:
        await self._answer("staging bytes")
        content = b""
        async for chunk in chunks:
            content += chunk
            if self.capacity is not None and self._used() + len(content) > self.capacity:
                raise StorageFull
        await self._answer("staging bytes")
        key = f"staged-{next(self._keys)}"
        self.staged[key] = (self.clock.now(), content)
        return Staged(key, new_sha256(content).hexdigest(), len(content))

    async def keep(self, staged: Staged) -> None:
        await self._answer("keeping bytes")
        self.blobs[staged.sha256] = self._staged(staged)
        del self.staged[staged.key]

    async def discard(self, staged: Staged) -> None:
        await self._answer("discarding bytes")
        self.staged.pop(staged.key, None)

    @asynccontextmanager
    async def read_staged(self, staged: Staged) -> AsyncIterator[AsyncIterator[bytes]]:
        await self._answer("reading bytes")
        yield _in_pieces(self._staged(staged))

    @asynccontextmanager
    async def read(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        await self._answer("reading bytes")
        if sha256 not in self.blobs:
            raise BlobMissing
        yield _in_pieces(self.blobs[sha256][start:end])

    async def delete(self, sha256: str) -> None:
        await self._answer("deleting bytes")
        self.blobs.pop(sha256, None)

    async def sweep(self, before: datetime) -> int:
        await self._answer("sweeping")
        old = [key for key, (at, _) in self.staged.items() if at < before]
        for key in old:
            del self.staged[key]
        return len(old)

    async def ping(self) -> None:
        await self._answer("asking the store")
        if self.capacity is not None and self._used() >= self.capacity:
            raise StorageFull

    def path_of(self, sha256: str) -> None:
        if not _HASH.fullmatch(sha256):
            raise BlobMissing

    def _staged(self, staged: Staged) -> bytes:
        if staged.key not in self.staged:
            raise BlobMissing
        return self.staged[staged.key][1]

    def _used(self) -> int:
        return sum(map(len, self.blobs.values())) + sum(len(content) for _, content in self.staged.values())

    async def _answer(self, what: str) -> None:
        """Let others have their turn, as a round trip does. Raises `Unavailable`."""
        must_be_outside_a_transaction(what)
        await asyncio.sleep(0)
        if not self.available:
            raise Unavailable


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]
