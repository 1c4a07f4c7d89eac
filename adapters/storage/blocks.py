"""Streams cut into larger pieces."""

from collections.abc import AsyncIterable, AsyncIterator


async def blocks(chunks: AsyncIterable[bytes], size: int) -> AsyncIterator[list[bytes]]:
    """The same bytes in blocks of `size` bytes or up to one chunk more; the last one is smaller, and may be empty.

    Each is a list of chunks, so that joining them can be left to a thread.
    """
    block, length = [], 0
    async for chunk in chunks:
        block.append(chunk)
        length += len(chunk)
        if length >= size:
            yield block
            block, length = [], 0
    yield block
