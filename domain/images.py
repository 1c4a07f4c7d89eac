"""Images: which there may be, how large, and what is known of one."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from domain.errors import Invalid

MOST_PIXELS: Final = 50_000_000
"""Pixels of an image, width times height."""


class InvalidImage(Invalid):
    """It can't be decoded as the type that its name says, or it is more than an image, or too large for one."""

    code = "invalid_image"
    message = "This is not an image that can be read"

    def __init__(self, reason: str = message) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ImageFormat(StrEnum):
    """The formats that every browser shows and that Portico reads."""

    JPEG = "jpeg"
    PNG = "png"
    GIF = "gif"
    WEBP = "webp"

    @property
    def content_type(self) -> str:
        return f"image/{self.value}"


FORMATS: Final = {
    ".jpg": ImageFormat.JPEG,
    ".jpeg": ImageFormat.JPEG,
    ".png": ImageFormat.PNG,
    ".gif": ImageFormat.GIF,
    ".webp": ImageFormat.WEBP,
}
"""The format that each extension promises."""


class ThumbnailSize(IntEnum):
    """The side of the square that a thumbnail fits, in pixels."""

    SMALL = 64
    MEDIUM = 256
    LARGE = 1024


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Made of the bytes of one hash, and stored under another: whoever has the same image shares it."""

    source: str
    size: ThumbnailSize
    sha256: str
