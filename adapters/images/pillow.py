"""Images read with Pillow, in few threads that give way to all others.

Pillow is loaded with the first image. Only its decoders of the four formats are ever used, never one that a file picks.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Final

from adapters.images.outline import BROKEN, Outline, outline_of
from adapters.threads import PatientThreads
from domain.errors import Unavailable
from domain.images import ImageFormat, ImageInfo, InvalidImage

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

LARGE: Final = 8_000_000
"""Pixels from which on images are read one at a time: the largest take up to 750 MB for a moment."""
MOST_TEXT: Final = 8 * 1024 * 1024
"""Characters of text in a PNG, uncompressed."""
LARGEST_BLOCK: Final = 64 * 1024 * 1024
"""Bytes of an image that are allocated in one piece. The C library gives pieces of 32 MiB and more back as soon as they
are free; of Pillow's own 16 MiB it keeps all that the largest image took."""
BAND: Final = 16
"""Rows of a reduced image that are made at once."""
QUALITY: Final = 80
"""Of a thumbnail, out of 100."""
ORIENTATION: Final = 0x0112
"""The EXIF tag that says how the image is to be held: 1 is upright, from 5 on width and height change places."""


class PillowImages:
    """Reads in `threads` threads; at most `waiting` images wait for one, beyond that both raise `Unavailable`."""

    def __init__(self, threads: int = 2, waiting: int = 64) -> None:
        self._threads = PatientThreads("image", threads, waiting)
        self._large = threading.Lock()

    async def examine(self, content: bytes) -> ImageInfo:
        return await self._threads.run(self._examine, content)

    async def thumbnail(self, content: bytes, size: int) -> bytes:
        return await self._threads.run(self._thumbnail, content, size)

    def close(self) -> None:
        """Give up what waits, let what has begun come to its end, and accept no more. Returns at once."""
        self._threads.close()

    def _examine(self, content: bytes) -> ImageInfo:
        with self._opened(content) as (outline, image):
            image.draft(None, (1, 1))  # all of a JPEG is read, and an eighth of its width and height is drawn
            image.load()
            width, height = outline.width, outline.height
            if _orientation(image) >= 5:
                width, height = height, width
            return ImageInfo(width, height, outline.format)

    def _thumbnail(self, content: bytes, size: int) -> bytes:
        from PIL.Image import Transpose

        upright: dict[int, Transpose] = {
            2: Transpose.FLIP_LEFT_RIGHT,
            3: Transpose.ROTATE_180,
            4: Transpose.FLIP_TOP_BOTTOM,
            5: Transpose.TRANSPOSE,
            6: Transpose.ROTATE_270,
            7: Transpose.TRANSVERSE,
            8: Transpose.ROTATE_90,
        }
        with self._opened(content) as (_, opened):
            opened.draft(None, (2 * size, 2 * size))
            opened.load()
            image = _reduced(opened, 2 * size)
            image.thumbnail((size, size))
            image = _in_srgb(image, opened.info.get("icc_profile"))
            turn = upright.get(_orientation(opened))
            if turn is not None:
                image = image.transpose(turn)
            image.info.clear()
            written = BytesIO()
            image.save(written, "WEBP", quality=QUALITY)
            return written.getvalue()

    @contextmanager
    def _opened(self, content: bytes) -> Iterator[tuple[Outline, "ImageFile"]]:
        outline = outline_of(content)
        with self._large if outline.pixels > LARGE else nullcontext():
            try:
                with _decoder(outline.format, content) as image:
                    if image.size != (outline.width, outline.height):
                        raise InvalidImage(BROKEN)
                    yield outline, image
            except (InvalidImage, Unavailable):
                raise
            except MemoryError:
                raise Unavailable from None
            except Exception:  # a decoder raises whatever its code runs into
                raise InvalidImage(BROKEN) from None


def _decoder(image_format: ImageFormat, content: bytes) -> "ImageFile":
    from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    Image.core.set_block_size(LARGEST_BLOCK)  # type: ignore[attr-defined]  # where Pillow's documentation has it
    PngImagePlugin.MAX_TEXT_MEMORY = MOST_TEXT
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what it warns of, a broken EXIF say, is no matter here
    decoders: dict[ImageFormat, type[ImageFile]] = {
        ImageFormat.JPEG: JpegImagePlugin.JpegImageFile,
        ImageFormat.PNG: PngImagePlugin.PngImageFile,
        ImageFormat.GIF: GifImagePlugin.GifImageFile,
        ImageFormat.WEBP: WebPImagePlugin.WebPImageFile,
    }
    return decoders[image_format](BytesIO(content))


def _orientation(image: "ImageFile") -> int:
    with suppress(Exception):  # a broken EXIF spoils no image
        orientation = image.getexif().get(ORIENTATION)
        if isinstance(orientation, int) and 1 <= orientation <= 8:
            return orientation
    return 1


def _reduced(image: "Image", size: int) -> "Image":
    """Smaller by a whole number, its longer side still `size` or more; never all of it in another mode at once."""
    from PIL import Image

    factor = max(image.size) // size
    if factor < 2:
        return _with_shades(image)
    width, height = image.size
    bands = []
    for top in range(0, height, BAND * factor):
        band = image.crop((0, top, width, min(height, top + BAND * factor)))
        bands.append(_with_shades(band).reduce(factor))
    reduced = Image.new(bands[0].mode, (bands[0].width, sum(band.height for band in bands)))
    for row, band in enumerate(bands):
        reduced.paste(band, (0, row * BAND))
    return reduced


def _with_shades(image: "Image") -> "Image":
    """In a mode that can be made smaller smoothly: not a palette, not black and white, not 16 bits."""
    if image.has_transparency_data:
        return image if image.mode in {"RGBA", "LA"} else image.convert("RGBA")
    if image.mode == "I;16":
        return image.point(lambda value: value / 256).convert("L")  # `point` alone keeps the mode
    return image.convert("RGB") if image.mode in {"1", "P"} else image


def _in_srgb(image: "Image", profile: bytes | None) -> "Image":
    """In the colours that are meant where no profile says otherwise."""
    from PIL import ImageCms

    mode = "RGBA" if image.has_transparency_data else "RGB"
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):
            converted = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode=mode
            )
            if converted is not None:
                return converted
    return image.convert(mode)
