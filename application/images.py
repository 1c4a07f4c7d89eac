"""Uploading images."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from application.ports.images import Images
from application.ports.storage import BlobStore
from application.uploads import Draft, KeepDrafts, StageUpload, Upload, discard
from domain.errors import Unavailable
from domain.files import File, label
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

    Raises `InvalidFilename`, `FileTypeNotAllowed` before anything is read, `InvalidImage`, what `StageUpload` and
    `KeepDrafts` raise, and what the stream raises. Nothing is left behind then.
    """

    stage: StageUpload
    keep_drafts: KeepDrafts
    store: BlobStore
    images: Images
    look_at: LookAtImage
    max_bytes: int

    async def __call__(self, actor: Actor, upload: Upload) -> File:
        name = label(upload.filename)
        promised = format_of_name(name)
        staged = await self.stage(actor.user.id, upload.chunks, limit=self.max_bytes)
        draft = Draft(name, promised.content_type, staged)
        try:
            image = await self.look_at(self.store.read_staged(staged), self.images.examine)
            promised.must_be_that_of(image)
        except BaseException:
            await asyncio.shield(discard(self.store, [staged]))
            raise
        (file,) = await self.keep_drafts(actor.user.id, [replace(draft, image=image)])
        return file
