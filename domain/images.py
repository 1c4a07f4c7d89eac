"""Images: which there may be, how large, and what is known of one."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from domain.errors import Invalid, UnsupportedType

MOST_PIXELS: Final = 50_000_000
"""Pixels of an image, width times height."""


class FileTypeNotAllowed(UnsupportedType):
    """The name promises something else than an image. `extension` is that of a label, with its dot; it may be empty."""

    code = "file_type_not_allowed"
    message = "File extension .exe not allowed"

    def __init__(self, extension: str) -> None:
        super().__init__(extension)
        self.extension = extension

    def __str__(self) -> str:
        return f"File extension {self.extension} not allowed" if self.extension else "A file extension is needed"


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


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known of an image. `width` and `height` are in pixels, as it is shown."""

    width: int
    height: int
    format: ImageFormat

    def must_be(self, promised: ImageFormat) -> None:
        """Raises `InvalidImage` if it is of another format than its name promises."""
        if self.format is not promised:
            raise InvalidImage("The image is of another type than its name says")


FORMATS: Final = {
    ".jpg": ImageFormat.JPEG,
    ".jpeg": ImageFormat.JPEG,
    ".png": ImageFormat.PNG,
    ".gif": ImageFormat.GIF,
    ".webp": ImageFormat.WEBP,
}
"""The format that each extension promises."""


def format_of_name(label: str) -> ImageFormat:
    """The format that the label of a file promises. Raises `FileTypeNotAllowed` if that is none."""
    stem, dot, extension = label.rpartition(".")
    extension = dot + extension if stem else ""
    if extension.lower() not in FORMATS:
        raise FileTypeNotAllowed(extension)
    return FORMATS[extension.lower()]


class ThumbnailSize(IntEnum):
    """The side of the square that a thumbnail fits, in pixels."""

    SMALL = 64
    MEDIUM = 256
    LARGE = 1024


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """Made of the bytes of one hash, and stored under another: whoever has the same image shares it."""

    source: str
    fits: ThumbnailSize
    sha256: str
    size: int
    """Bytes."""
