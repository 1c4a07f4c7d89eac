import pytest

from domain.images import FORMATS, FileTypeNotAllowed, ImageFormat, ImageInfo, InvalidImage, format_of_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", ImageFormat.JPEG),
        ("A.JPEG", ImageFormat.JPEG),
        ("holiday.2026.png", ImageFormat.PNG),
        ("\u05ea\u05de\u05d5\u05e0\u05d4.GiF", ImageFormat.GIF),
        (" .webp", ImageFormat.WEBP),
    ],
)
def test_the_extension_promises_a_format(name: str, expected: ImageFormat) -> None:
    assert format_of_name(name) is expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.exe", "File extension .exe not allowed"),
        ("a.png.EXE", "File extension .EXE not allowed"),
        ("a.svg", "File extension .svg not allowed"),
        ("a.png ", "File extension .png  not allowed"),
        ("a.", "File extension . not allowed"),
        ("png", "A file extension is needed"),
        (".png", "A file extension is needed"),
    ],
)
def test_any_other_extension_is_refused(name: str, message: str) -> None:
    with pytest.raises(FileTypeNotAllowed) as refusal:
        format_of_name(name)
    assert str(refusal.value) == message


def test_a_format_is_that_of_an_image_or_not() -> None:
    ImageInfo(1, 1, ImageFormat.PNG).must_be(ImageFormat.PNG)
    with pytest.raises(InvalidImage) as refusal:
        ImageInfo(1, 1, ImageFormat.JPEG).must_be(ImageFormat.PNG)
    assert str(refusal.value) == "The image is of another type than its name says"


def test_every_format_has_an_extension_and_a_type() -> None:
    assert set(FORMATS.values()) == set(ImageFormat)
    assert {image_format.content_type for image_format in ImageFormat} == {
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
    }
