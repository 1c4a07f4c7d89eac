import csv
import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application import csv_rows
from application.csv_rows import BYTE_ORDER_MARK, LONGEST_ROW, CsvReader
from domain.imports import CsvRow

ANYTHING = st.lists(
    st.sampled_from([b"a", b'"', b",", b"\r", b"\n", b"\r\n", "é".encode(), b"\xff", b"\0"]), max_size=40
)
WELL_FORMED = st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1), max_size=8)


def read(data: bytes, pieces: Iterable[int] = (), *, position: int = 0, line: int = 1) -> list[CsvRow]:
    """The rows of the file from there on, given in pieces of these sizes, and the rest as one."""
    reader, rows, at = CsvReader(position, line), list[CsvRow](), position
    for size in pieces:
        rows += reader.feed(data[at : at + size])
        at += size
    return rows + list(reader.feed(data[at:])) + list(reader.close())


def fields(data: bytes) -> list[list[str]]:
    return [list(row.fields) for row in read(data)]


@given(WELL_FORMED, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_what_the_standard_library_wrote_is_read_as_it_was(rows: list[list[str]], end: str, marked: bool) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    data = (BYTE_ORDER_MARK if marked else b"") + text.getvalue().encode()
    assert fields(data) == rows


@given(ANYTHING, st.booleans(), st.lists(st.integers(1, 5)))
def test_how_a_file_is_cut_into_pieces_changes_nothing(parts: list[bytes], marked: bool, pieces: list[int]) -> None:
    data = (BYTE_ORDER_MARK if marked else b"") + b"".join(parts)
    assert read(data, pieces) == read(data)


def test_a_mark_that_comes_byte_by_byte_is_no_part_of_the_first_field() -> None:
    assert read(BYTE_ORDER_MARK + b"a,b\n", [1] * 6) == read(BYTE_ORDER_MARK + b"a,b\n")
    assert fields(BYTE_ORDER_MARK + b"a,b\n") == [["a", "b"]]


@given(ANYTHING)
def test_reading_goes_on_after_any_row(parts: list[bytes]) -> None:
    data = b"".join(parts)
    rows = read(data)
    for number, row in enumerate(rows):
        assert read(data, position=row.end, line=row.end_line) == rows[number + 1 :]


@given(ANYTHING, st.integers(1, 12))
def test_reading_goes_on_after_a_row_that_is_too_long(parts: list[bytes], longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "LONGEST_ROW", longest)
        data = b"".join(parts)
        rows = read(data)
        assert [row.line for row in rows] == sorted({row.line for row in rows})
        for number, row in enumerate(rows):
            assert read(data, [1] * len(data), position=row.end, line=row.end_line) == rows[number + 1 :]


@given(ANYTHING)
def test_a_line_is_counted_as_every_editor_counts_it(parts: list[bytes]) -> None:
    data = b"".join(parts)
    for row in read(data):
        before = data[: row.end] if row.end <= len(data) else data + b"\n"
        assert row.end_line == 1 + len(before.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")) - 1


def test_a_row_says_on_which_line_it_begins() -> None:
    data = b'title,description\r\n"two\nlines",x\n\nlast,\n'
    assert [(row.line, list(row.fields)) for row in read(data)] == [
        (1, ["title", "description"]),
        (2, ["two\nlines", "x"]),
        (5, ["last", ""]),
    ]


def test_the_last_row_needs_no_line_break() -> None:
    assert fields(b"a,b\nc,d") == [["a", "b"], ["c", "d"]]


def test_a_quotation_mark_within_a_field_is_one() -> None:
    assert fields(b'5" pipe,"say ""hello"", please"\n') == [['5" pipe', 'say "hello", please']]


def test_a_quotation_mark_that_is_never_closed_spoils_its_own_line_only() -> None:
    rows = read(b'a,b\n"open,x\nc,d\n')
    assert [(row.line, list(row.fields), row.fault) for row in rows] == [
        (1, ["a", "b"], None),
        (2, [], "A quotation mark is never closed"),
        (3, ["c", "d"], None),
    ]


def test_quotation_marks_that_are_never_closed_do_not_make_a_file_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for their ends from each line anew would take most of an hour: the suite's time would be over."""
    monkeypatch.setattr(csv_rows, "LONGEST_ROW", 16 * 1024 * 1024)
    lines = 200_000
    rows = read(b'"x","\n' * lines + b"a,b\n")
    assert {row.fault for row in rows[:-1]} == {"A quotation mark is never closed"}
    assert (len(rows), list(rows[-1].fields), rows[-1].line) == (lines + 1, ["a", "b"], lines + 1)


def test_rows_of_several_lines_are_told_from_those_that_are_too_long() -> None:
    several = b'"' + b"x\n" * (LONGEST_ROW // 2 - 2)
    (row,) = read(several + b'",\n')
    assert (len(row.fields[0]), row.fault, row.end_line) == (LONGEST_ROW - 4, None, LONGEST_ROW // 2)
    rows = read(several + b'x\n",\n')
    assert [rows[0].fault, rows[1].fault, rows[1].line] == ["A quotation mark is never closed", None, 2]


def test_a_line_that_is_too_long_is_passed_over_in_constant_memory() -> None:
    reader, rows = CsvReader(), list[CsvRow]()
    for piece in [b"a,b\n", *[b"x" * 1000] * 2000, b"\nc,d\n"]:
        rows += reader.feed(piece)
        assert len(reader._rest) <= LONGEST_ROW
    rows += reader.close()
    assert [(row.line, row.fault) for row in rows] == [
        (1, None),
        (2, f"The line is longer than {LONGEST_ROW} bytes"),
        (3, None),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("line", [b"x" * LONGEST_ROW, b'a,"' + b"x" * LONGEST_ROW + b'"', b'"' + b"x" * LONGEST_ROW])
def test_a_line_that_is_too_long_is_said_to_be_so_whatever_its_quotation_marks_are(line: bytes, end: bytes) -> None:
    rows = read(line + end + b"c,d")
    assert [(row.line, list(row.fields), row.fault) for row in rows] == [
        (1, [], "The line is longer than 131072 bytes"),
        (2, ["c", "d"], None),
    ]


def test_bytes_that_are_no_text_are_a_fault_of_their_row() -> None:
    assert [row.fault for row in read(b"a\n\xff\nb\0\n" + "é".encode())] == [
        None,
        "The text is not valid UTF-8",
        "The text must not contain the character NUL",
        None,
    ]
