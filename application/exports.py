"""Exporting an account: all that is a person's own, in a zip."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from application.ports.clock import Clock
from application.ports.persistence import Reads, Work
from application.ports.storage import BlobStore
from application.task_runs import Run
from application.uploads import Draft, KeepDrafts, StageUpload
from application.zips import Entry, zipped
from domain.files import File
from domain.items import Item, ItemSort
from domain.pages import Key, Page, PageRequest
from domain.users import User

PAGE: Final = 500
"""Rows that are read at once."""
PIECE: Final = 32 * 1024
"""Characters of JSON that are packed at once."""
BYTES_OF_ITEM: Final = 300
"""About what an item takes, beside the bytes of the files: for the progress."""

T = TypeVar("T")


@dataclass
class _Done:
    """How much has gone into the zip, of about how much, in bytes."""

    run: Run
    expected: int
    bytes: int = 0
    items: int = 0
    files: int = 0

    async def add(self, size: int, *, items: int = 0) -> None:
        """Say so, at most once a second. Raises as `Run.writing` does."""
        self.bytes += size
        self.items += items
        message = f"Items packed: {self.items}; files packed: {self.files}"
        await self.run.advance(100 * self.bytes / max(1, self.expected), message)


@dataclass(frozen=True)
class ExportAccount:
    """Pack the profile, the items and the files into a zip, which becomes a file of the owner's.

    It streams, so memory stays flat. The file is added in the transaction that completes the task, so there is one,
    however often that was tried. Files that are deleted before their turn are left out. Raises `QuotaExceeded`.
    """

    reads: Reads
    store: BlobStore
    stage: StageUpload
    keep_drafts: KeepDrafts
    clock: Clock

    async def __call__(self, run: Run) -> None:
        owner = run.task.owner_id
        user = await self.reads.user(owner)
        items = await self.reads.items(owner, PageRequest(limit=1), sort=ItemSort.OLDEST, words=())
        expected = (items.total or 0) * BYTES_OF_ITEM
        async for file in self._files(owner):
            expected += file.size
        done = _Done(run, expected)
        staged = await self.stage(owner, zipped(self._entries(user, done)), limit=sys.maxsize)
        draft = Draft(f"account-{self.clock.now():%Y-%m-%d}.zip", "application/zip", staged, is_export=True)

        async def complete(work: Work, files: Sequence[File]) -> None:
            (file,) = files
            result = {"file_id": file.id, "size": file.size, "items": done.items, "files": done.files}
            async with run.within(work) as task:
                task.complete(result, f"Your account is in the file {file.filename}", self.clock.now())

        await self.keep_drafts(owner, [draft], complete)

    async def _entries(self, user: User, done: _Done) -> AsyncIterator[Entry]:
        now = self.clock.now()
        yield Entry("profile.json", now, _whole(_json(profile(user)).encode()))
        yield Entry("items.json", now, self._items(user, done))
        async for file in self._files(user.id):
            yield Entry(f"files/{file.id}-{file.filename}", file.created_at, self._content(file, done))

    async def _files(self, owner_id: int) -> AsyncIterator[File]:
        async for file in _all(lambda request: self.reads.files(owner_id, request)):
            if not file.is_export:  # each would hold all before it
                yield file

    @asynccontextmanager
    async def _items(self, user: User, done: _Done) -> AsyncIterator[AsyncIterator[bytes]]:
        yield self._json_of_items(user, done)

    async def _json_of_items(self, user: User, done: _Done) -> AsyncIterator[bytes]:
        """An array, in pieces."""
        before, piece, count = "[\n", "", 0
        async for item in _all(lambda request: self.reads.items(user.id, request, sort=ItemSort.OLDEST, words=())):
            piece, before, count = piece + before + _json(as_exported(item)), ",\n", count + 1
            if len(piece) >= PIECE:
                yield piece.encode()
                await done.add(count * BYTES_OF_ITEM, items=count)
                piece, count = "", 0
        yield (piece + ("[]\n" if before == "[\n" else "\n]\n")).encode()
        await done.add(count * BYTES_OF_ITEM, items=count)

    @asynccontextmanager
    async def _content(self, file: File, done: _Done) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self.store.read(file.sha256) as pieces:
            yield _counted(pieces, done)
        done.files += 1


async def _all(page_of: Callable[[PageRequest], Awaitable[Page[T]]]) -> AsyncIterator[T]:
    """Every row of a list, which is read page by page."""
    after: Key | None = None
    while True:
        page = await page_of(PageRequest(limit=PAGE, after=after))
        for row in page.items:
            yield row
        after = page.next_key
        if after is None:
            return


async def _counted(pieces: AsyncIterator[bytes], done: _Done) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece
        await done.add(len(piece))


@asynccontextmanager
async def _whole(content: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
    async def once() -> AsyncIterator[bytes]:
        yield content

    yield once()


def profile(user: User) -> dict[str, Any]:
    """What an account says of its owner: no password hash is among it."""
    return {
        "id": user.id,
        "email": user.email,
        "full_name": user.full_name,
        "is_verified": user.is_verified,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "last_active": user.last_active,
    }


def as_exported(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "title": item.title,
        "description": item.description,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, default=datetime.isoformat)
