"""Small pictures of one's own images."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath

from application.files import Content
from application.images import LookAtImage
from application.ports.images import Images
from application.ports.persistence import Reads, Work
from application.ports.storage import BlobStore
from application.uploads import KeepStaged
from domain.files import File
from domain.images import ImageFormat, InvalidImage, Thumbnail, ThumbnailSize
from domain.users import Actor

Making = asyncio.Task[Thumbnail]
Key = tuple[str, ThumbnailSize]


@dataclass(frozen=True)
class MakeThumbnail:
    """Make a thumbnail and store it: once, whoever asks for it meanwhile in this process.

    Two processes may both make it; then the last one stays. Raises `FileNotFound` when the file was deleted meanwhile,
    `BlobMissing`, `InvalidImage` if its bytes are no image or more than `max_bytes`, `StorageFull` or `Unavailable`.
    """

    reads: Reads
    store: BlobStore
    images: Images
    look_at: LookAtImage
    keep_staged: KeepStaged
    max_bytes: int
    under_way: dict[Key, Making] = field(default_factory=dict)

    async def __call__(self, file: File, fits: ThumbnailSize) -> Thumbnail:
        if file.size > self.max_bytes:
            raise InvalidImage(f"Only an image of up to {self.max_bytes} bytes has thumbnails")
        key = (file.sha256, fits)
        if key not in self.under_way:
            self.under_way[key] = asyncio.create_task(self._make(*key))
            self.under_way[key].add_done_callback(lambda making: self._is_over(key, making))
        return await asyncio.shield(self.under_way[key])  # whoever gives up leaves it to the others

    def _is_over(self, key: Key, making: Making) -> None:
        del self.under_way[key]
        if not making.cancelled():
            making.exception()  # taken note of, in case that nobody waits any more

    async def _make(self, source: str, fits: ThumbnailSize) -> Thumbnail:
        made = await self.reads.thumbnail(source, fits)  # perhaps just now, by somebody else
        if made is not None:
            return made
        content = await self.look_at(self.store.read(source), partial(self.images.thumbnail, size=fits))
        staged = await self.store.stage(_in_one_piece(content))
        thumbnail = Thumbnail(source, fits, staged.sha256, staged.size)

        async def refer(work: Work) -> None:
            await work.thumbnails.add(thumbnail)

        await self.keep_staged([staged], refer)
        return thumbnail


async def _in_one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content


@dataclass(frozen=True)
class OpenThumbnail:
    """The content of a thumbnail of one's own file, made if it isn't there.

    Raises `FileNotFound` and what `MakeThumbnail` raises.
    """

    reads: Reads
    store: BlobStore
    make: MakeThumbnail

    async def __call__(self, actor: Actor, file_id: int, fits: ThumbnailSize) -> Content:
        file = await self.reads.file(file_id)
        file.must_belong_to(actor)
        thumbnail = await self.reads.thumbnail(file.sha256, fits) or await self.make(file, fits)
        name = f"{PurePath(file.filename).stem}.webp"
        return Content(thumbnail.sha256, thumbnail.size, ImageFormat.WEBP.content_type, name, self.store)
