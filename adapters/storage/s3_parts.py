"""What goes to S3 in parts: hashed on its way, and handed from one task to another."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from hashlib import sha256 as new_sha256


class Digest:
    """Size and hash of what passes."""

    def __init__(self) -> None:
        self._hash = new_sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def of(self, blocks: AsyncIterable[list[bytes]]) -> AsyncIterator[bytes]:
        """Each block joined, and hashed in a thread."""
        async for block in blocks:
            part = await asyncio.to_thread(self._pass, block)
            self.size += len(part)
            yield part

    def _pass(self, block: list[bytes]) -> bytes:
        part = b"".join(block)
        self._hash.update(part)
        return part


class Feed:
    """Parts on their way from the task that has them to the one that sends them, one at a time."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(1)

    async def give(self, part: bytes | None) -> None:
        """Return when there was room for it; None is the end."""
        await self._parts.put(part)

    def fail(self) -> None:
        """Give up: whoever takes the parts gets an error in place of the next one."""
        self.drain()
        self._parts.put_nowait(ConnectionAbortedError("the upload was given up"))

    def drain(self) -> None:
        while not self._parts.empty():
            self._parts.get_nowait()

    async def given(self) -> AsyncIterator[bytes]:
        while (part := await self._parts.get()) is not None:
            if isinstance(part, Exception):
                raise part
            yield part


async def with_first(first: bytes, parts: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in parts:
        yield part
