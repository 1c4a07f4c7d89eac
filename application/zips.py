"""A zip that is written while it is read, in constant memory, with the standard library."""

import asyncio
import io
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from application.ports.storage import BlobMissing

LEVEL: Final = 1
"""Of 1 to 9: most of what is packed is packed already, or short."""
SMALL: Final = 64 * 1024
"""Bytes: packing them takes a millisecond, which is not worth the way to a thread."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a zip. Its content is opened when it is its turn."""

    name: str
    at: datetime
    content: AbstractAsyncContextManager[AsyncIterator[bytes]]


class _Outlet(io.RawIOBase):
    """What the zip is written to: it can't go back, and is emptied as it fills."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:  # type: ignore[override]  # that is all that zipfile gives it
        self._pieces.append(bytes(piece))
        return len(piece)

    def taken(self) -> bytes:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


async def zipped(entries: AsyncIterable[Entry]) -> AsyncIterator[bytes]:
    """The zip of these entries, piece by piece, without those whose bytes are gone when they are opened."""
    import zipfile  # takes a while to load

    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w") as packed:
        async for entry in entries:
            async with AsyncExitStack() as stack:
                try:
                    pieces = await stack.enter_async_context(entry.content)
                except BlobMissing:
                    continue
                info = zipfile.ZipInfo(entry.name, entry.at.astimezone(UTC).timetuple()[:6])
                info.compress_type = zipfile.ZIP_DEFLATED
                info._compresslevel = LEVEL  # type: ignore[attr-defined]  # it has a public name from Python 3.13 only
                with packed.open(info, "w", force_zip64=True) as target:
                    async for piece in pieces:
                        if len(piece) > SMALL:
                            await asyncio.to_thread(target.write, piece)
                        else:
                            target.write(piece)
                        if written := outlet.taken():
                            yield written
    yield outlet.taken()
