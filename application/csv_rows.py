"""CSV (RFC 4180) read in pieces of any size: each row with its line, and with the byte at which the next one begins.

So whoever stops after a row can go on there later. Memory holds one row and one piece, whatever the file's size. A row
that is wrong spoils no other: reading goes on with the line after it. No byte is looked at more than a few times,
whatever the quotation marks are.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Final

from domain.imports import CsvRow

LONGEST_ROW: Final = 128 * 1024
"""Bytes."""
LONG: Final = f"The line is longer than {LONGEST_ROW} bytes"
OPEN: Final = "A quotation mark is never closed"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

# In UTF-8 no byte of these is part of another character. A quotation mark means something at a field's beginning only,
# as the csv module has it. Each pattern is about what stands on one line.
_QUOTED: Final = rb'[^"\r\n]*+(?:""[^"\r\n]*+)*+"[^,\r\n]*+'
_FIELD: Final = rb'(?:"' + _QUOTED + rb'|(?!")[^,\r\n]*+)'
_FIELDS: Final = _FIELD + rb"(?:," + _FIELD + rb")*+"
CLOSING: Final = re.compile(_QUOTED + rb"(?:," + _FIELD + rb")*+")
"""A line that begins within quotation marks, and ends outside of them."""
_BREAK: Final = rb"(?:\r\n|\n|\r(?=[^\n]))"
BREAK: Final = re.compile(_BREAK)
ROW: Final = re.compile(rb"(" + _FIELDS + rb")" + _BREAK)
EACH_BREAK: Final = re.compile(rb"\r\n|\n|\r")


class CsvReader:
    """Given a file piece by piece, from `position` on, which is the beginning of `line`."""

    def __init__(self, position: int = 0, line: int = 1) -> None:
        self._rest = b""
        self._position = position
        self._line = line
        self._fault: str | None = None
        """What is wrong with the row whose line is being passed over."""
        self._open_until = 0
        """Where a line begins: no row of several lines that begins before it has ended before it. For wherever a line
        ends without ending its row, what goes on there is within quotation marks, whichever row it is."""
        self._unbroken_until = 0
        """No line break is between there and here."""

    def feed(self, piece: bytes) -> Iterator[CsvRow]:
        """The rows that end in this piece. Each has to be taken before the next piece is fed."""
        yield from self._read(self._rest + piece, last=False)

    def close(self) -> Iterator[CsvRow]:
        """What is left once there are no more pieces."""
        yield from self._read(self._rest + b"\n" if self._rest else b"", last=True)

    def _read(self, data: bytes, *, last: bool) -> Iterator[CsvRow]:
        is_marked = self._position == 0 and data.startswith(BYTE_ORDER_MARK)
        at = self._pass(len(BYTE_ORDER_MARK)) if is_marked else 0
        while at < len(data):
            window = at + LONGEST_ROW
            found = None if self._fault else self._row_at(data, at, window)
            if found is not None:
                content, end = found
                line, self._line = self._line, self._line + len(EACH_BREAK.findall(data, at, end))
                at += self._pass(end - at)
                if content:
                    yield self._row(line, content)
                continue
            if self._fault is None:
                if not last and len(data) < window:
                    break
                is_long = BREAK.search(data, at, window) is None
                self._fault = LONG if is_long else OPEN
            line_break = BREAK.search(data, at)
            if line_break is None:
                at += self._pass(max(0, len(data) - 1 - at))  # the last byte may be half of a line break
                break
            at += self._pass(line_break.end() - at)
            line, self._line = self._line, self._line + 1
            fault, self._fault = self._fault, None
            yield CsvRow(line, (), fault, self._position, self._line)
        self._rest = data[at:]

    def _row_at(self, data: bytes, at: int, window: int) -> tuple[bytes, int] | None:
        """The row that begins there and where the next one does, if that is within the window."""
        row = ROW.match(data, at, window)
        if row is not None:
            return row[1], row.end()
        begins, searched = (at + max(0, until - self._position) for until in (self._open_until, self._unbroken_until))
        while (line_break := BREAK.search(data, max(begins, searched), window)) is not None:
            if begins > at and CLOSING.fullmatch(data, begins, line_break.start()):
                return data[at : line_break.start()], line_break.end()
            begins = line_break.end()
            self._open_until = self._position + begins - at
        # The last byte may be half of a line break.
        self._unbroken_until = self._position + max(begins, min(window, len(data)) - 1) - at
        return None

    def _pass(self, length: int) -> int:
        self._position += length
        return length

    def _row(self, line: int, content: bytes) -> CsvRow:
        fields: Sequence[str] = ()
        fault = None
        try:
            (fields,) = csv.reader([content.decode()])
        except UnicodeDecodeError:
            fault = "The text is not valid UTF-8"
        if any("\0" in text for text in fields):
            fields, fault = (), "The text must not contain the character NUL"
        return CsvRow(line, fields, fault, self._position, self._line)
