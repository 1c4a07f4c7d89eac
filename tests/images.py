"""Images to try things with: honest ones, awkward ones, and files that mean harm."""

import struct
import zlib
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, Final
from zipfile import ZipFile

from PIL import Image, ImageCms

FORMATS: Final = ("jpeg", "png", "gif", "webp")


def drawn(image_format: str = "png", width: int = 60, height: int = 40, *, mode: str = "RGB", **options: Any) -> bytes:
    """A picture that can be told from its mirror images: from the top left, clockwise, its quarters are red, green,
    blue and white."""
    image = Image.new("RGB", (width, height), "white")
    middle, centre = width // 2, height // 2
    for colour, box in (
        ("red", (0, 0, middle, centre)),
        ("lime", (middle, 0, width, centre)),
        ("blue", (middle, centre, width, height)),
    ):
        image.paste(colour, box)
    return encoded(image.convert(mode), image_format, **options)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    written = BytesIO()
    image.save(written, image_format, **options)
    return written.getvalue()


def turned(orientation: int, image_format: str = "jpeg") -> bytes:
    """The picture of `drawn`, stored so that only its EXIF orientation sets it upright: 60 x 40 that way."""
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    with Image.open(BytesIO(drawn())) as image:
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "Camera of Ada"
        lying = image.transpose(stored[orientation]) if orientation in stored else image
        return encoded(lying, image_format, exif=exif)


def animated(image_format: str, frames: int, size: int = 8) -> bytes:
    """A film of that many frames, each different from the one before."""
    first, *others = (Image.new("RGB", (size, size), (n % 256, n // 256, 90)) for n in range(frames))
    return encoded(first, image_format, save_all=True, append_images=others, duration=20, lossless=True)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, *, before: Iterable[bytes] = (), colour: int = 0, pixels: bytes | None = None
) -> bytes:
    """A PNG of 8 bits (`colour` 0: grey, 6: RGBA), written by hand, with chunks before its pixels."""
    row = width * (4 if colour == 6 else 1) + 1
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    compressed = zlib.compress(bytes(row * height), 9) if pixels is None else pixels
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


def gif(body: bytes, width: int = 1, height: int = 1) -> bytes:
    """A GIF with two colours and that body."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3 + body + b";"


GIF_FRAME: Final = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
"""One black pixel."""


def _apng(frames: int) -> bytes:
    pixel = zlib.compress(b"\0\0")
    control = struct.pack(">IIIIHHBB", 1, 1, 0, 0, 1, 50, 0, 0)
    chunks = [chunk(b"acTL", struct.pack(">II", frames, 0)), chunk(b"fcTL", struct.pack(">I", 0) + control)]
    later = b"".join(
        chunk(b"fcTL", struct.pack(">I", 2 * n - 1) + control) + chunk(b"fdAT", struct.pack(">I", 2 * n) + pixel)
        for n in range(1, frames)
    )
    whole = png(1, 1, before=chunks, pixels=pixel)
    return whole[:-12] + later + whole[-12:]


def _riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def _webp_film(frames: int) -> bytes:
    chunks = animated("webp", 2)[12:]
    last = chunks.rindex(b"ANMF")
    return _riff(chunks[:last] + chunks[last:] * (frames - 1))


def _text_bomb(kind: bytes, copies: int = 1) -> bytes:
    start = {b"zTXt": b"t\0\0", b"iTXt": b"t\0\1\0\0\0", b"iCCP": b"p\0\0"}[kind]
    return png(1, 1, before=[chunk(kind, start + zlib.compress(bytes(2_000_000), 9))] * copies)


def _many_scans() -> bytes:
    whole = encoded(Image.new("L", (7000, 7000), 100), "jpeg", progressive=True)
    tables = whole.rindex(b"\xff\xc4")
    return whole[:-2] + whole[tables:-2] * 5000 + whole[-2:]


def _jpeg_segments(marker: bytes, count: int, data: bytes = b"") -> bytes:
    whole = drawn("jpeg")
    return whole[:2] + (b"\xff" + marker + struct.pack(">H", len(data) + 2) + data) * count + whole[2:]


def _exif_bomb() -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 7, 60_000, 8) for tag in range(1, 5000))
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 4999) + entries
    return _jpeg_segments(b"\xe1", 1, exif[:65_000])


def _vp8x(width: int, height: int) -> bytes:
    picture = drawn("webp", lossless=True)[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _riff(b"VP8X" + struct.pack("<IB3x", 10, 0) + size + picture)


def _enormous_jpeg() -> bytes:
    whole = bytearray(drawn("jpeg"))
    frame = whole.index(b"\xff\xc0")
    whole[frame + 5 : frame + 9] = struct.pack(">HH", 50_000, 50_000)
    return bytes(whole)


def _cut(image_format: str, **options: Any) -> bytes:
    whole = drawn(image_format, **options)
    return whole[: len(whole) * 2 // 3]


def _archive() -> bytes:
    written = BytesIO()
    with ZipFile(written, "w") as archive:
        archive.writestr("hello.txt", "hello")
    return written.getvalue()


def _archive_64() -> bytes:
    """The same, its sizes and places in the records for archives of more than 4 GiB (APPNOTE 4.3.14 to 4.3.16)."""
    directory, end = ZIP.index(b"PK\1\2"), ZIP.rindex(b"PK\5\6")
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, end - directory, directory)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    last = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    return ZIP[:end] + record + locator + last


ZIP: Final = _archive()
HTML: Final = b"<!doctype html><script>alert(1)</script>"
SVG: Final = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'

HOSTILE: Final[dict[str, Callable[[], bytes]]] = {
    "nothing": lambda: b"",
    "zeros": lambda: bytes(4096),
    "html": lambda: HTML,
    "svg": lambda: SVG,
    "xml before svg": lambda: b'<?xml version="1.0"?>' + SVG,
    "pdf": lambda: b"%PDF-1.7\n%%EOF\n",
    "tiff": lambda: drawn("tiff"),
    "bmp": lambda: drawn("bmp"),
    "ico": lambda: drawn("ico"),
    "avif brand": lambda: b"\0\0\0\x1cftypavif" + bytes(100),
    "eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "magic of a png alone": lambda: b"\x89PNG\r\n\x1a\n",
    "magic of a jpeg alone": lambda: b"\xff\xd8\xff",
    "magic of a gif alone": lambda: b"GIF89a",
    "magic of a webp alone": lambda: b"RIFF\x04\0\0\0WEBPVP8 ",
    "png of 50,000 x 50,000": lambda: png(50_000, 50_000, pixels=zlib.compress(bytes(50_000_000))),
    "png just over the pixels": lambda: png(50_000, 1001, pixels=b""),
    "png of 50,000,000 x 1": lambda: png(50_000_000, 1, colour=6),
    "png without pixels": lambda: png(0, 0),
    "png that is smaller than it says": lambda: png(7000, 7000, pixels=zlib.compress(bytes(1000))),
    "png of broken pixels": lambda: png(9, 9, pixels=b"not zlib at all"),
    "png with a wrong checksum": lambda: drawn("png")[:-20] + b"\0" + drawn("png")[-19:],
    "gif of 65,535 x 65,535": lambda: gif(b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\0"),
    "gif with a far frame": lambda: gif(b"," + struct.pack("<HHHHB", 65000, 65000, 1, 1, 0) + b"\x02\x02\x44\x01\0"),
    "gif with an enormous disposal": lambda: gif(
        b"!\xf9\x04\x0c\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 65535, 60000, 0) + b"\x02\0"
    ),
    "gif without a frame": lambda: gif(b""),
    "jpeg of 50,000 x 50,000": _enormous_jpeg,
    "webp of 16,777,216 x 16,777,216": lambda: _vp8x(1 << 24, 1 << 24),
    "webp whose picture is smaller than its canvas": lambda: _vp8x(7000, 7000),
    "zTXt bomb": lambda: _text_bomb(b"zTXt"),
    "iTXt bomb": lambda: _text_bomb(b"iTXt"),
    "iCCP bomb": lambda: _text_bomb(b"iCCP"),
    "2,000 zTXt bombs": lambda: _text_bomb(b"zTXt", 2000),
    "gif of 10,000 frames": lambda: gif(GIF_FRAME * 10_000),
    "apng of 10,000 frames": lambda: _apng(10_000),
    "webp of 10,000 frames": lambda: _webp_film(10_000),
    "jpeg of 5,000 scans": _many_scans,
    "jpeg of a million segments": lambda: _jpeg_segments(b"\xdb", 1_000_000),
    "png of 400,000 chunks": lambda: png(1, 1, before=[chunk(b"tEXt", b"")] * 400_000),
    "gif of 2,000,000 one-byte blocks": lambda: gif(b"!\xfe" + b"\x01x" * 2_000_000 + b"\0" + GIF_FRAME),
    "webp of 400,000 chunks": lambda: _riff(drawn("webp")[12:] + b"JUNK\0\0\0\0" * 400_000),
    **{f"{name} cut off": lambda name=name: _cut(name) for name in FORMATS},  # type: ignore[misc]
    "progressive jpeg cut off": lambda: _cut("jpeg", progressive=True, width=400, height=400),
    "large png cut off": lambda: png(7000, 7000)[:-1000],
    "interlaced png cut off": lambda: _cut("png", width=300),
    **{f"{name} with html behind it": lambda name=name: drawn(name) + HTML for name in FORMATS},  # type: ignore[misc]
    **{f"{name} with a zip behind it": lambda name=name: drawn(name) + ZIP for name in FORMATS},  # type: ignore[misc]
    "jpeg with html behind a second image": lambda: drawn("jpeg") * 2 + HTML,
    "jpeg around a zip": lambda: _jpeg_segments(b"\xfe", 1, ZIP),
    "png around a zip": lambda: png(1, 1, before=[chunk(b"tEXt", b"zip\0" + ZIP)]),
    "gif around a zip": lambda: gif(b"!\xfe" + bytes([len(ZIP)]) + ZIP + b"\0" + GIF_FRAME),
    "webp around a zip": lambda: _riff(drawn("webp")[12:] + b"JUNK" + struct.pack("<I", len(ZIP)) + ZIP),
    "jpeg around a zip64": lambda: _jpeg_segments(b"\xfe", 1, _archive_64()),
    "jpeg around a zip with another end behind it": lambda: _jpeg_segments(b"\xfe", 1, ZIP + b"PK\5\6" + bytes(18)),
    "jpeg around a pdf": lambda: _jpeg_segments(b"\xfe", 1, b"%PDF-1.7\n%%EOF\n"),
    "png behind html": lambda: HTML + drawn("png"),
    "webp in a riff of sound": lambda: drawn("webp").replace(b"WEBP", b"WAVE", 1),
}
"""Files that are no image, each by what is wrong with it. Made when they are asked for."""


AWKWARD: Final[dict[str, Callable[[], bytes]]] = {
    "grey jpeg": lambda: drawn("jpeg", mode="L"),
    "cmyk jpeg": lambda: drawn("jpeg", mode="CMYK"),
    "progressive jpeg": lambda: drawn("jpeg", progressive=True),
    "jpeg with a preview behind it": lambda: drawn("jpeg") + bytes(37) + drawn("jpeg", 20, 10),
    "jpeg filled up with zeros": lambda: drawn("jpeg") + bytes(512),
    "jpeg with a broken exif": lambda: _jpeg_segments(b"\xe1", 1, b"Exif\0\0not a tiff at all"),
    "jpeg with an exif of many long tags": _exif_bomb,
    "png of 16 bits": lambda: encoded(Image.new("I;16", (60, 40), 40_000), "png"),
    "large png of 16 bits": lambda: encoded(Image.new("I;16", (600, 400), 40_000), "png"),
    "png of 1 bit": lambda: drawn("png", mode="1"),
    "grey png with alpha": lambda: drawn("png", mode="LA"),
    "png with alpha": lambda: drawn("png", mode="RGBA"),
    "palette png": lambda: drawn("png", mode="P"),
    "palette png with transparency": lambda: drawn("png", mode="P", transparency=0),
    "grey png with transparency": lambda: drawn("png", mode="L", transparency=255),
    "png with a profile": lambda: drawn("png", icc_profile=_profile()),
    "png with a profile that is none": lambda: drawn("png", icc_profile=b"no profile"),
    "gif with transparency": lambda: drawn("gif", mode="P", transparency=0),
    "interlaced gif": lambda: drawn("gif", mode="P", interlace=True),
    "animated gif": lambda: animated("gif", 12, 60),
    "animated png": lambda: animated("png", 12, 60),
    "animated webp": lambda: animated("webp", 12, 60),
    "lossless webp": lambda: drawn("webp", lossless=True),
    "webp with alpha": lambda: drawn("webp", mode="RGBA"),
    "one pixel": lambda: drawn("png", 1, 1),
    "very wide": lambda: drawn("png", 20_000, 1),
    "very tall": lambda: drawn("gif", 1, 20_000),
}
"""Images that are to be read all the same."""


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
