"""Blobs as files: `ab/cd/abcd…` under one folder, and `staging` beside them, which must be on the same file system."""

import asyncio
import errno
import logging
import os
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256 as new_sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from adapters.storage.blocks import blocks
from adapters.storage.names import checked_hash, checked_key, new_key
from application.ports.storage import BlobMissing, Staged, StorageFull
from domain.errors import Unavailable

if TYPE_CHECKING:
    from hashlib import _Hash

BLOCK: Final = 2 * 1024 * 1024
"""Bytes that go to the disk in one step: one trip to a thread."""
PIECE: Final = 256 * 1024
"""Bytes that come from the disk in one step: as many wait in memory for each client that is slow to take them."""
THREADS: Final = 16
"""For each store: how many steps may be under way at once. The others wait for their turn."""
WAIT: Final = 120.0
"""Seconds that one step may take, the waiting for a thread included."""

FULL: Final = {errno.ENOSPC, errno.EDQUOT}

T = TypeVar("T")
log = logging.getLogger(__name__)


class DiskBlobStore:
    """Keeps blobs in `folder`, which is made when it is needed; only the owner of the process can read them.

    What is staged or kept survives a loss of power: files and folders are synced before a method returns.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staging = folder / "staging"
        self._threads = ThreadPoolExecutor(THREADS, "storage")

    async def stage(self, chunks: AsyncIterable[bytes]) -> Staged:
        """While one block is hashed and written, the next one is received."""
        draft = _Draft(self._staging / new_key())
        step: Future[None] = self._threads.submit(_make_folder, self._staging)
        try:
            async for block in blocks(chunks, BLOCK):
                await self._end_of(step)
                step = self._threads.submit(draft.write, block)
            await self._end_of(step)
            return await self._run(draft.finish)
        except BaseException:
            await self._whatever_happens(draft.remove)
            raise

    async def keep(self, staged: Staged) -> None:
        source, target = self._staged(staged), self._path(staged.sha256)

        def rename() -> None:
            _make_folder(target.parent)
            source.replace(target)
            _sync(target.parent)
            _sync(source.parent)

        await self._run(rename)

    async def discard(self, staged: Staged) -> None:
        await self._run(self._staged(staged).unlink, True)

    @asynccontextmanager
    async def read_staged(self, staged: Staged) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._opened(self._staged(staged)) as file:
            yield self._pieces_of(file, staged.size)

    @asynccontextmanager
    async def read(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._opened(self._path(sha256), start) as file:
            yield self._pieces_of(file, None if end is None else max(0, end - start))

    async def delete(self, sha256: str) -> None:
        await self._run(self._path(sha256).unlink, True)

    async def sweep(self, before: datetime) -> int:
        return await self._run(_remove_older, self._staging, before.timestamp())

    async def ping(self) -> None:
        """Writes a little into a file without a name."""

        def write() -> None:
            _make_folder(self._staging)
            with tempfile.TemporaryFile(dir=self._staging, buffering=0) as file:
                file.write(bytes(4096))

        await self._run(write)

    def path_of(self, sha256: str) -> Path:
        """Raises `BlobMissing` if it isn't a hash; whether the file is there is not looked at."""
        return self._path(sha256)

    def _path(self, sha256: str) -> Path:
        name = checked_hash(sha256)
        return self._folder / name[:2] / name[2:4] / name

    def _staged(self, staged: Staged) -> Path:
        return self._staging / checked_key(staged.key)

    @asynccontextmanager
    async def _opened(self, path: Path, start: int = 0) -> AsyncIterator[BinaryIO]:
        opening = self._threads.submit(_open, path, start)
        try:
            yield await self._end_of(opening)
        finally:
            opening.add_done_callback(self._close)

    def _close(self, opening: "Future[BinaryIO]") -> None:
        """In a thread, since the file waits there for a step that may still be under way; nobody waits for it."""
        if not opening.cancelled() and opening.exception() is None:
            self._threads.submit(opening.result().close)

    async def _pieces_of(self, file: BinaryIO, length: int | None) -> AsyncIterator[bytes]:
        """From where the file stands, `length` bytes or up to its end."""
        while length is None or length > 0:
            piece = await self._run(file.read, PIECE if length is None else min(PIECE, length))
            if not piece:
                return
            if length is not None:
                length -= len(piece)
            yield piece

    async def _run(self, step: Callable[..., T], *arguments: object) -> T:
        return await self._end_of(self._threads.submit(step, *arguments))

    async def _end_of(self, step: Future[T]) -> T:
        with _translated():
            async with asyncio.timeout(WAIT):
                return await asyncio.wrap_future(step)

    async def _whatever_happens(self, step: Callable[[], None]) -> None:
        """Done even if whoever waits for it goes away."""
        doing = asyncio.wrap_future(self._threads.submit(step))
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT):
                await asyncio.shield(doing)


@dataclass
class _Draft:
    """A file that is being written. Its steps come from different threads, one after the other."""

    path: Path
    _hash: "_Hash" = field(default_factory=new_sha256)
    _size: int = 0
    _file: BinaryIO | None = None
    _removed: bool = False
    _lock: Lock = field(default_factory=Lock)

    def write(self, chunks: list[bytes]) -> None:
        block = b"".join(chunks)
        with self._lock:
            if self._removed:
                return
            if self._file is None:
                self._file = _create(self.path)
            self._hash.update(block)
            self._file.write(block)
            self._size += len(block)

    def finish(self) -> Staged:
        with self._lock:
            assert self._file is not None  # there is always a block, though it may be empty
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            _sync(self.path.parent)
            return Staged(self.path.name, self._hash.hexdigest(), self._size)

    def remove(self) -> None:
        with self._lock:
            self._removed = True
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()  # where there is no room, what is still in its buffer is refused again
                with suppress(OSError):
                    self.path.unlink()


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _open(path: Path, start: int) -> BinaryIO:
    file = path.open("rb")
    try:
        file.seek(start)
    except BaseException:
        file.close()
        raise
    return file


def _make_folder(folder: Path) -> None:
    """Make it with those above it, durably."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_older(folder: Path, before: float) -> int:
    removed = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # kept or discarded meanwhile
                if entry.stat().st_mtime < before:
                    Path(entry).unlink()
                    removed += 1
    return removed


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise BlobMissing from None
    except TimeoutError:
        log.warning("the storage can't be used: no answer within %d s", WAIT)
        raise Unavailable from None
    except OSError as error:
        log.warning("the storage can't be used: %s", error.strerror)
        raise (StorageFull if error.errno in FULL else Unavailable) from error
