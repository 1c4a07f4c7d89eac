"""Looking at images: whether they are what they claim to be, and how they look when small."""

from typing import Protocol

from domain.images import ImageInfo


class Images(Protocol):
    """Both raise `InvalidImage` unless the bytes are one image of a known format, whole, within 50,000,000 pixels and
    with nothing behind its end; and `Unavailable` when too many others are being looked at.

    What is refused is refused within seconds and little memory, whatever the bytes were made to do.
    """

    async def examine(self, content: bytes) -> ImageInfo:
        """Decode it, and tell what it is. Of an animation, the first frame is decoded."""

    async def thumbnail(self, content: bytes, size: int) -> bytes:
        """A WebP that fits a square of `size` pixels: upright, in sRGB, without metadata, never larger than the
        image is. Of an animation, the first frame."""
