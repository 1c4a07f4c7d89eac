"""What everything that looks at images promises, then what Pillow is asked to get right."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from adapters.images.outline import outline_of
from adapters.images.pillow import PillowImages, _reduced
from application.ports.images import Images
from domain.errors import Unavailable
from domain.images import ImageFormat, ImageInfo, InvalidImage
from tests.fakes.images import PretendedImages, pretended
from tests.images import AWKWARD, FORMATS, animated, drawn, encoded, turned

ROOT: Final = Path(__file__).parents[2]
QUARTERS: Final = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
"""The colours of `drawn`, clockwise from the top left."""


class Kind(NamedTuple):
    images: Images
    draw: Callable[[str, int, int], bytes]
    lying: bytes
    """A JPEG of 40 x 60 that is 60 x 40 when it is held upright."""


@pytest.fixture
def pillow() -> Iterator[PillowImages]:
    images = PillowImages()
    yield images
    images.close()


@pytest.fixture(params=["pillow", "fake"])
def kind(request: pytest.FixtureRequest, pillow: PillowImages) -> Kind:
    if request.param == "fake":
        return Kind(PretendedImages(), pretended, pretended("jpeg", 40, 60, lying=True))
    return Kind(pillow, drawn, turned(6))


class TestEveryOne:
    @pytest.mark.parametrize("image_format", FORMATS)
    async def test_an_image_is_known_by_its_bytes(self, kind: Kind, image_format: str) -> None:
        info = await kind.images.examine(kind.draw(image_format, 60, 40))
        assert info == ImageInfo(60, 40, ImageFormat(image_format))

    async def test_width_and_height_are_those_of_the_image_held_upright(self, kind: Kind) -> None:
        assert await kind.images.examine(kind.lying) == ImageInfo(60, 40, ImageFormat.JPEG)

    @pytest.mark.parametrize("content", [b"", b"<svg/>", b"\0" * 100, b"a painting"])
    async def test_what_is_no_image_is_refused(self, kind: Kind, content: bytes) -> None:
        with pytest.raises(InvalidImage):
            await kind.images.examine(content)
        with pytest.raises(InvalidImage):
            await kind.images.thumbnail(content, 64)

    async def test_an_image_with_something_behind_it_is_refused(self, kind: Kind) -> None:
        with pytest.raises(InvalidImage):
            await kind.images.examine(kind.draw("png", 60, 40) + b"<script>")

    @pytest.mark.parametrize(
        ("width", "height", "size", "expected"),
        [
            (600, 400, 64, (64, 43)),
            (400, 600, 64, (43, 64)),
            (1000, 1000, 256, (256, 256)),
            (2000, 3, 256, (256, 1)),
            (60, 40, 64, (60, 40)),
            (60, 40, 1024, (60, 40)),
        ],
    )
    async def test_a_thumbnail_is_a_webp_that_fits_the_square_and_is_never_larger_than_the_image(
        self, kind: Kind, width: int, height: int, size: int, expected: tuple[int, int]
    ) -> None:
        thumbnail = await kind.images.thumbnail(kind.draw("png", width, height), size)
        assert await kind.images.examine(thumbnail) == ImageInfo(*expected, ImageFormat.WEBP)

    async def test_a_thumbnail_of_a_thumbnail_can_be_made(self, kind: Kind) -> None:
        once = await kind.images.thumbnail(kind.draw("gif", 600, 400), 256)
        twice = await kind.images.thumbnail(once, 64)
        assert (await kind.images.examine(twice)).width == 64


def shown(content: bytes) -> Image.Image:
    with Image.open(BytesIO(content), formats=["WEBP"]) as image:
        image.load()
        return image


def quarters(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours of its quarters, clockwise from the top left."""
    places = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    colours = [image.convert("RGB").getpixel((int(x * image.width), int(y * image.height))) for x, y in places]
    return [colour for colour in colours if isinstance(colour, tuple)]


def alike(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(abs(a - b) < 24 for a, b in zip(one, other, strict=True))


class TestPillow:
    @pytest.mark.parametrize("name", AWKWARD)
    async def test_an_awkward_image_is_read_all_the_same(self, pillow: PillowImages, name: str) -> None:
        content = AWKWARD[name]()
        info = await pillow.examine(content)
        thumbnail = shown(await pillow.thumbnail(content, 64))
        assert max(thumbnail.size) == min(64, max(info.width, info.height))
        assert not {"exif", "icc_profile", "xmp"} & set(thumbnail.info)

    @pytest.mark.parametrize("image_format", ["jpeg", "png", "webp"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    async def test_every_orientation_is_set_upright(
        self, pillow: PillowImages, orientation: int, image_format: str
    ) -> None:
        content = turned(orientation, image_format)
        info = await pillow.examine(content)
        assert (info.width, info.height) == (60, 40)
        thumbnail = shown(await pillow.thumbnail(content, 64))
        assert thumbnail.size == (60, 40)
        assert all(map(alike, quarters(thumbnail), QUARTERS))

    async def test_nothing_of_the_camera_is_left_in_a_thumbnail(self, pillow: PillowImages) -> None:
        content = turned(6)
        assert b"Camera of Ada" in content
        thumbnail = await pillow.thumbnail(content, 64)
        assert b"Ada" not in thumbnail
        assert not any(chunk in thumbnail for chunk in (b"EXIF", b"ICCP", b"XMP "))

    async def test_the_colours_of_a_cmyk_jpeg_are_kept(self, pillow: PillowImages) -> None:
        thumbnail = shown(await pillow.thumbnail(AWKWARD["cmyk jpeg"](), 64))
        assert all(map(alike, quarters(thumbnail), QUARTERS))

    async def test_a_profile_is_applied_before_it_is_dropped(self, pillow: PillowImages) -> None:
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        red_is_green = srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
        thumbnail = shown(await pillow.thumbnail(drawn("png", icc_profile=red_is_green), 64))
        red, green, *others = QUARTERS
        assert all(map(alike, quarters(thumbnail), [green, red, *others]))

    async def test_16_bits_become_8_and_not_white(self, pillow: PillowImages) -> None:
        thumbnail = shown(await pillow.thumbnail(AWKWARD["png of 16 bits"](), 64))
        assert all(alike(colour, (156, 156, 156)) for colour in quarters(thumbnail))

    @pytest.mark.parametrize("image_format", ["png", "webp", "gif"])
    async def test_what_is_transparent_stays_so(self, pillow: PillowImages, image_format: str) -> None:
        image = Image.new("RGBA", (200, 100), (255, 0, 0, 255))
        image.paste((0, 0, 0, 0), (0, 0, 100, 100))
        thumbnail = shown(await pillow.thumbnail(encoded(image, image_format), 64))
        assert thumbnail.mode == "RGBA"
        left, right = thumbnail.getpixel((10, 16)), thumbnail.getpixel((54, 16))
        assert isinstance(left, tuple)
        assert isinstance(right, tuple)
        assert left[3] == 0
        assert alike(right, (255, 0, 0, 255))

    @pytest.mark.parametrize("image_format", ["gif", "png", "webp"])
    async def test_of_a_film_the_first_frame_is_shown(self, pillow: PillowImages, image_format: str) -> None:
        thumbnail = shown(await pillow.thumbnail(animated(image_format, 300, 64), 64))
        assert not getattr(thumbnail, "is_animated", False)
        assert all(alike(colour, (0, 0, 90)) for colour in quarters(thumbnail))

    @pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
    @pytest.mark.parametrize(("width", "height"), [(1000, 700), (333, 2000), (1001, 1), (640, 640)])
    def test_no_seam_is_left_where_bands_of_an_image_meet(self, mode: str, width: int, height: int) -> None:
        image = Image.effect_noise((width, height), 90).convert("RGB").convert(mode)
        if mode.endswith("A"):
            image.putalpha(Image.linear_gradient("L").resize((width, height)))
        factor = max(width, height) // 128
        assert _reduced(image, 128).tobytes() == image.reduce(factor).tobytes()

    async def test_an_image_of_49_million_pixels_is_read(self, pillow: PillowImages) -> None:
        content = encoded(Image.new("L", (7000, 7000), 100), "jpeg")
        assert await pillow.examine(content) == ImageInfo(7000, 7000, ImageFormat.JPEG)
        assert shown(await pillow.thumbnail(content, 1024)).size == (1024, 1024)

    async def test_once_closed_nothing_is_looked_at(self, pillow: PillowImages) -> None:
        pillow.close()
        with pytest.raises(Unavailable):
            await pillow.examine(drawn())


LOOK_AT_A_LARGE_ONE: Final = """
import asyncio
from pathlib import Path
from adapters.images.pillow import PillowImages
from tests.images import drawn, png

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1])

async def grown():
    images, large = PillowImages(), png(7000, 7000, colour=6)
    for content in (drawn("png", 600, 400), large):
        before = memory()
        await images.examine(content)
        await images.thumbnail(content, 64)
    return memory() - before

print(asyncio.run(grown()))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="what memory a process has is read from /proc")
def test_the_memory_that_a_large_image_took_is_given_back() -> None:
    process = subprocess.run(
        [sys.executable, "-c", LOOK_AT_A_LARGE_ONE], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    assert int(process.stdout) * os.sysconf("SC_PAGE_SIZE") < 100 * 1024 * 1024


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """An image in which a few bytes were changed, left out or put in."""
    content = bytearray(draw(st.sampled_from([drawn(name) for name in FORMATS] + [animated("gif", 3), turned(5)])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        left_out = draw(st.integers(0, 8))
        content[at : at + left_out] = draw(st.binary(max_size=8))
    return bytes(content)


@given(st.one_of(spoilt(), st.binary(max_size=64)))
def test_whatever_the_bytes_are_they_are_read_or_refused(content: bytes) -> None:
    pillow = PillowImages()
    try:
        info = pillow._examine(content)
        pillow._thumbnail(content, 64)
    except InvalidImage:
        return
    assert info.format in FORMATS
    assert info.width * info.height == outline_of(content).pixels
