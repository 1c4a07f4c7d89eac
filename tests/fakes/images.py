"""Images that are a line of text."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from domain.files import FileNotFound
from domain.images import ImageFormat, ImageInfo, InvalidImage, Thumbnail
from tests.fakes.repositories import Tables
from tests.fakes.transactions import must_be_outside_a_transaction

_PICTURE = re.compile(rb"a (jpeg|png|gif|webp) of (\d+) x (\d+)(?:, lying on its side)?")


def pretended(image_format: str = "png", width: int = 60, height: int = 40, *, lying: bool = False) -> bytes:
    """What `PretendedImages` takes for such an image, stored `lying` on its side if it is so."""
    return f"a {image_format} of {width} x {height}{', lying on its side' if lying else ''}".encode()


@dataclass
class PretendedImages:
    """`Images` that reads what `pretended` writes, and counts the thumbnails that it makes."""

    made: int = 0
    examined: list[bytes] = field(default_factory=list)

    async def examine(self, content: bytes) -> ImageInfo:
        must_be_outside_a_transaction("looking at an image")
        self.examined.append(content)
        return self._read(content)

    async def thumbnail(self, content: bytes, size: int) -> bytes:
        must_be_outside_a_transaction("making a thumbnail")
        self.made += 1
        image = self._read(content)
        scale = min(1, size / max(image.width, image.height))
        return pretended("webp", max(1, round(image.width * scale)), max(1, round(image.height * scale)))

    @staticmethod
    def _read(content: bytes) -> ImageInfo:
        picture = _PICTURE.fullmatch(content)
        if picture is None or 0 in (int(picture[2]), int(picture[3])):
            raise InvalidImage
        width, height = int(picture[2]), int(picture[3])
        if content.endswith(b"lying on its side"):
            width, height = height, width
        return ImageInfo(width, height, ImageFormat(picture[1].decode()))


@dataclass
class InMemoryThumbnails:
    tables: Callable[[], Tables]

    async def add(self, thumbnail: Thumbnail) -> None:
        if thumbnail.source not in self.tables().blobs.keys() - self.tables().dooms.keys():
            raise FileNotFound
        assert thumbnail.sha256 in self.tables().blobs, "its bytes are not claimed"
        self.tables().thumbnails[thumbnail.source, thumbnail.fits] = thumbnail

    async def remove_of(self, source: str) -> Sequence[str]:
        if any(file.sha256 == source for file in self.tables().files.values()):
            return []
        thumbnails = self.tables().thumbnails
        return [thumbnails.pop(key).sha256 for key in list(thumbnails) if key[0] == source]
