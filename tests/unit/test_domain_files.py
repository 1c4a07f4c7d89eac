import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.files import (
    LONGEST_EXTENSION,
    LONGEST_NAME,
    LONGEST_TYPE,
    MEDIA_TYPE,
    FileTooLarge,
    InvalidFilename,
    QuotaExceeded,
    content_type,
    label,
    must_have_room,
)
from domain.lines import BIDIRECTIONAL


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "....etcpasswd"),
        ("..\\..\\boot.ini", "....boot.ini"),
        ("C:\\fakepath\\a.txt", "C:fakepatha.txt"),
        ("a\0b.txt", "ab.txt"),
        ("line\r\nbreak\u2028s.txt", "linebreaks.txt"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("\ud800x.txt", "x.txt"),
        (
            "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627.txt",
            "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627.txt",
        ),
        ("\U0001f468\u200d\U0001f469.png", "\U0001f468\u200d\U0001f469.png"),
        ('e\u0301 100% "quoted"; x=1.txt', 'e\u0301 100% "quoted"; x=1.txt'),
        (".gitignore", ".gitignore"),
        ("X", "X"),
    ],
)
def test_a_name_becomes_a_label(given_name: str, expected: str) -> None:
    assert label(given_name) == expected


@pytest.mark.parametrize("name", ["", "/", "\\\\", "\0", "\u202e", "\ud800", " ", "\u2003", ".", "..", "../..", ". ."])
def test_what_leaves_nothing_to_call_it_by_is_refused(name: str) -> None:
    with pytest.raises(InvalidFilename):
        label(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x" * 4096 + ".tar.gz", "x" * 252 + ".gz"),
        ("x" * 4096, "x" * 255),
        ("x" * 255, "x" * 255),
        ("x." + "y" * 4096, "x." + "y" * 253),
        ("x" * 300 + "." + "y" * 31, "x" * 223 + "." + "y" * 31),
        ("x" * 250 + "." + "y" * 32, "x" * 250 + "." + "y" * 4),
        ("." + "y" * 4096, "." + "y" * 254),
        ("\U0001f4c4" * 300 + ".txt", "\U0001f4c4" * 251 + ".txt"),
    ],
)
def test_a_long_name_is_cut_and_keeps_its_extension(name: str, expected: str) -> None:
    assert label(name) == expected


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_is_given_becomes_a_label_or_is_refused(name: str) -> None:
    try:
        made = label(name)
    except InvalidFilename:
        return
    assert 1 <= len(made) <= LONGEST_NAME
    assert not set(made) & ({"/", "\\", "\0"} | BIDIRECTIONAL)
    assert not {unicodedata.category(character) for character in made} & {"Cc", "Cs", "Zl", "Zp"}
    assert made.strip(". ")
    assert made.encode()
    assert label(made) == made


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("text/plain", "text/plain"),
        ("Text/HTML; charset=utf-8", "text/html"),
        ("image/svg+xml", "image/svg+xml"),
        (None, "application/octet-stream"),
        ("", "application/octet-stream"),
        ("text", "application/octet-stream"),
        ("text/plain\r\nSet-Cookie: a=b", "application/octet-stream"),
        ("te\u0445t/plain", "application/octet-stream"),
        ("a/" + "b" * 125, "a/" + "b" * 125),
        ("a/" + "b" * 126, "application/octet-stream"),
    ],
)
def test_a_type_that_can_be_one_is_kept(declared: str | None, expected: str) -> None:
    assert content_type(declared) == expected


@given(st.text(max_size=200) | st.from_regex(MEDIA_TYPE).map(lambda text: f" {text.upper()} ; q=1"))
def test_whatever_is_declared_becomes_a_type_that_is_safe_in_a_header(declared: str) -> None:
    made = content_type(declared)
    assert MEDIA_TYPE.fullmatch(made)
    assert made == made.lower() == content_type(made)
    assert len(made) <= LONGEST_TYPE


@given(st.text("ab.\u00e9/", max_size=600), st.text("abc", max_size=40))
def test_a_label_ends_as_its_name_did_unless_that_is_no_extension(stem: str, extension: str) -> None:
    try:
        made = label(f"x{stem}.{extension}")
    except InvalidFilename:
        raise AssertionError("there is something to call it by") from None
    assert made[0] == "x"
    if len(extension) < LONGEST_EXTENSION:
        assert made.endswith(f".{extension}")


def test_a_file_that_is_too_large_hears_the_limit() -> None:
    assert str(FileTooLarge(5242880)) == "File size exceeds 5242880 bytes"


def test_all_room_may_be_used_and_no_byte_more() -> None:
    must_have_room(used=7, more=3, quota=10)
    with pytest.raises(QuotaExceeded):
        must_have_room(used=7, more=4, quota=10)
