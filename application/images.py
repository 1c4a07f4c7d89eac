"""Uploading images."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from application.ports.images import Images
from application.ports.storage import BlobStore
from application.uploads import KeepDrafts, StageDrafts, Upload, discard
from domain.errors import Unavailable
from domain.files import File
from domain.images import format_of_name
from domain.users import Actor

AT_ONCE: Final = 4
"""Images whose bytes are in memory at the same time; the others wait where they are stored."""
WAIT: Final = 60.0
"""Seconds from asking for a look at an image to its end."""

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class LookAtImage:
    """Read the bytes of an image and have a look at them, when it is their turn.

    Raises `Unavailable` if that takes too long, and what the look raises.
    """

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def __call__(
        self, stored: AbstractAsyncContextManager[AsyncIterator[bytes]], look: Callable[[bytes], Awaitable[Seen]]
    ) -> Seen:
        try:
            async with asyncio.timeout(WAIT), self.turns, stored as chunks:
                return await look(b"".join([chunk async for chunk in chunks]))
        except TimeoutError:
            raise Unavailable from None


@dataclass(frozen=True)
class StoreImage:
    """Store a file that is an image of the type that its name says, at most `max_bytes` large.

    `uploads` is one. Raises `FileTypeNotAllowed` before anything of it is read, `InvalidImage`, and what `StageDrafts`
    and `KeepDrafts` raise. Nothing is left behind then.
    """

    stage_drafts: StageDrafts
    keep_drafts: KeepDrafts
    store: BlobStore
    images: Images
    look_at: LookAtImage
    max_bytes: int

    async def __call__(self, actor: Actor, uploads: AsyncIterable[Upload]) -> File:
        (draft,) = await self.stage_drafts(actor.user.id, uploads, limit=self.max_bytes, typed=_promised)
        try:
            image = await self.look_at(self.store.read_staged(draft.staged), self.images.examine)
            image.must_be(format_of_name(draft.filename))
        except BaseException:
            await discard(self.store, [draft.staged])
            raise
        (file,) = await self.keep_drafts(actor.user.id, [replace(draft, image=image)])
        return file


def _promised(name: str, _: Upload) -> str:
    return format_of_name(name).content_type
