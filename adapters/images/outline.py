"""Where an image begins and ends and how large it is, read from its bytes before anything decodes them.

Decoders are made to show what they can: they skip what they don't know, forgive what is missing, look at nothing behind
the end, and repeat what a file tells them to. So this comes first, in one pass and in no memory to speak of. It refuses
what is cut off, what has something behind its end, and what asks for more work than an image of its size can need.

PNG: W3C PNG (Third Edition); JPEG: ITU-T T.81 annex B; GIF: GIF89a; WebP: RFC 9649.
"""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from domain.images import MOST_PIXELS, ImageFormat, InvalidImage

LONGEST_SIDE: Final = 1_000_000
"""Pixels, fifteen times what a JPEG can have: a PNG's decoder holds two rows, of up to 8 bytes a pixel."""
MOST_FRAMES: Final = 2_000
"""Frames of an animation."""
MOST_COMPRESSED_TEXTS: Final = 16
"""Chunks of a PNG that hold compressed text or a profile: each may become a thousand times as large."""
MOST_SCANNED_PIXELS: Final = 20 * MOST_PIXELS
"""Pixels of a JPEG times the scans that draw it: a hundred bytes make one more scan over all of them."""

BROKEN: Final = "The image is broken or cut off"
TOO_LARGE: Final = f"An image may have at most {MOST_PIXELS:,} pixels, and {LONGEST_SIDE:,} on a side"
TOO_MANY_FRAMES: Final = f"An animation may have at most {MOST_FRAMES:,} frames"
TOO_MUCH_WORK: Final = "The image is put together in a way that takes too long to read"
SOMETHING_BEHIND: Final = "The file is more than an image: something follows the image's end"
SOMETHING_ELSE: Final = "The file is more than an image: it can be read as a document or an archive too"
ZIP_TAIL: Final = 22 + 65_535
"""Bytes from the end within which a ZIP archive has its last record."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Width and height are in pixels, as they are stored."""

    format: ImageFormat
    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


def outline_of(content: bytes) -> Outline:
    """The outline of the one image that these bytes are. Raises `InvalidImage`."""
    for magic, image_format, walk in _FORMATS:
        if magic.match(content):
            try:
                width, height, end = walk(_Walk(content))
            except (IndexError, struct.error):  # the bytes end before the image does
                raise InvalidImage(BROKEN) from None
            if content[end:].strip(b"\0"):  # some cameras fill up the last block
                raise InvalidImage(SOMETHING_BEHIND)
            if b"%PDF-" in content[:1024] or _is_archive(content):
                raise InvalidImage(SOMETHING_ELSE)
            return Outline(image_format, width, height)
    raise InvalidImage


def _is_archive(content: bytes) -> bool:
    """Whether the last record of a ZIP archive may be there, and before it a directory (APPNOTE 4.3.12, 4.3.16).

    Readers disagree about which last record counts and where it leads, so it isn't followed: that neither stands in an
    image by chance is as good as certain.
    """
    at = content.rfind(b"PK\5\6", max(0, len(content) - ZIP_TAIL))
    return at >= 0 and content.find(b"PK\1\2", 0, at) >= 0


class _Walk:
    """A way through the parts of a file, which counts them."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._parts = 10_000 + len(content) // 64  # many times what encoders make
        self._frames = 0

    def part(self) -> None:
        self._parts -= 1
        if self._parts < 0:
            raise InvalidImage(TOO_MUCH_WORK)

    def frame(self) -> None:
        self._frames += 1
        if self._frames > MOST_FRAMES:
            raise InvalidImage(TOO_MANY_FRAMES)


def _sized(width: int, height: int) -> tuple[int, int]:
    if not width or not height:
        raise InvalidImage(BROKEN)
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise InvalidImage(TOO_LARGE)
    return width, height


def _png(walk: _Walk) -> tuple[int, int, int]:
    content, at, kind, compressed = memoryview(walk.content), 8, b"", 0
    first, width, height = struct.unpack_from(">4sII", content, at + 4)
    if first != b"IHDR":
        raise InvalidImage(BROKEN)
    _sized(width, height)
    while kind != b"IEND":
        walk.part()
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        if struct.unpack_from(">I", content, end)[0] != zlib.crc32(content[at + 4 : end]):
            raise InvalidImage(BROKEN)
        if kind == b"fcTL":
            walk.frame()
        elif kind in {b"zTXt", b"iTXt", b"iCCP"}:
            compressed += 1
            if compressed > MOST_COMPRESSED_TEXTS:
                raise InvalidImage(TOO_MUCH_WORK)
        at = end + 4
    return width, height, at


_FRAME_HEADERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_MARKER: Final = re.compile(rb"\xff{1,16}([\xc0-\xcf\xd9-\xfe])")
_AFTER_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_ANOTHER_IMAGE: Final = re.compile(rb"\0*\xff\xd8\xff")


def _jpeg(walk: _Walk) -> tuple[int, int, int]:
    width, height, end = _one_jpeg(walk, 2)
    while another := _ANOTHER_IMAGE.match(walk.content, end):  # a preview or a depth map (CIPA DC-007)
        end = _one_jpeg(walk, another.end() - 1)[2]
    return width, height, end


def _one_jpeg(walk: _Walk, at: int) -> tuple[int, int, int]:
    content, width, height, scans = walk.content, 0, 0, 0
    while marker := _MARKER.match(content, at):
        walk.part()
        at = marker.end()
        code = content[at - 1]
        if code == _END_OF_IMAGE:
            return *_sized(width, height), at
        if code in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", content, at + 3)
            _sized(width, height)
        at += max(2, struct.unpack_from(">H", content, at)[0])
        if code == _START_OF_SCAN:
            scans += 1
            if scans * width * height > MOST_SCANNED_PIXELS:
                raise InvalidImage(TOO_MUCH_WORK)
            after = _AFTER_SCAN.search(content, at)
            at = after.start() if after else len(content)
    raise InvalidImage(BROKEN)


def _gif(walk: _Walk) -> tuple[int, int, int]:
    content = walk.content
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    at = 13 + _colours(flags)
    frames = 0
    while (kind := content[at]) != ord(";"):
        if kind == ord("!"):
            at += 2
        elif kind == ord(","):
            walk.frame()
            frames += 1
            left, top, across, down, flags = struct.unpack_from("<HHHHB", content, at + 1)
            if frames == 1:  # it may be larger than the screen that was announced
                width, height = _sized(max(width, left + across), max(height, top + down))
            at += 11 + _colours(flags)
        else:
            raise InvalidImage(BROKEN)
        while length := content[at]:
            walk.part()
            at += 1 + length
        walk.part()
        at += 1
    if not frames:
        raise InvalidImage(BROKEN)
    return width, height, at + 1


def _colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp(walk: _Walk) -> tuple[int, int, int]:
    content = walk.content
    end = 8 + struct.unpack_from("<I", content, 4)[0]
    if end > len(content):
        raise InvalidImage(BROKEN)
    at = 12
    while at < end:
        walk.part()
        kind, length = struct.unpack_from("<4sI", content, at)
        if kind == b"ANMF":
            walk.frame()
        at += 8 + length + length % 2
    if at not in {end, end + 1}:
        raise InvalidImage(BROKEN)
    return *_sized(*_webp_canvas(content)), end


def _webp_canvas(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", content, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


_FORMATS: Final[tuple[tuple[re.Pattern[bytes], ImageFormat, Callable[[_Walk], tuple[int, int, int]]], ...]] = (
    (re.compile(rb"\xff\xd8\xff"), ImageFormat.JPEG, _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), ImageFormat.PNG, _png),
    (re.compile(rb"GIF8[79]a"), ImageFormat.GIF, _gif),
    (re.compile(rb"RIFF....WEBPVP8[ LX]", re.DOTALL), ImageFormat.WEBP, _webp),
)
