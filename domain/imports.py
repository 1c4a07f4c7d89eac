"""Imports: what the rows of a file can be, and how far they have become items."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from domain.items import valid_description, valid_title
from domain.tasks import TaskImpossible

HEADER: Final = ("title", "description")
MOST_ERRORS: Final = 100
"""Rows that are named among those that could not be imported; the others are counted."""


class Overtaken(Exception):
    """Another task has taken rows of the same file meanwhile."""


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row of the file that isn't blank. With a fault, it has no fields."""

    line: int
    """Where it begins in the file, the first line being 1."""
    fields: Sequence[str]
    fault: str | None
    """What is wrong with it, in words."""
    end: int
    """Where the next one begins: bytes from the beginning of the file."""
    end_line: int
    """And on which line."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """A row that can be an item."""

    title: str
    description: str | None


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that can't be an item: the line of the file that it begins on, and why."""

    line: int
    reason: str


def must_be_header(row: CsvRow | None) -> None:
    """Raises `TaskImpossible` unless it is `title,description`, in any case."""
    if row is None or tuple(name.strip().lower() for name in row.fields) != HEADER:
        raise TaskImpossible(
            "wrong_header",
            "The first line of the file must be title,description. Please correct the file, upload it again and start "
            "a new import",
        )


def as_item(row: CsvRow) -> NewItem | RowError:
    """What the row can be."""
    if row.fault is not None:
        return RowError(row.line, row.fault)
    if len(row.fields) != len(HEADER):
        return RowError(row.line, f"There must be {len(HEADER)} columns, title and description")
    title, description = row.fields
    try:
        return NewItem(valid_title(title), valid_description(description or None))
    except ValueError as error:
        return RowError(row.line, str(error))


@dataclass(kw_only=True, slots=True)
class Import:
    """How far a file has been imported.

    This belongs to the file and not to a task: each row becomes an item once, however many tasks are started for it
    and however often they are interrupted. Whoever wants the rows twice uploads the file twice.
    """

    file_id: int
    position: int = 0
    """Bytes whose rows have been taken."""
    line: int = 1
    """The line of the file that begins there."""
    created: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)
    """The first of those that were rejected."""
    finished: bool = False

    def must_stand_at(self, position: int) -> None:
        """Raises `Overtaken` if rows after that one have been taken, or it is finished."""
        if self.position != position or self.finished:
            raise Overtaken

    def take(self, *, created: int, errors: Sequence[RowError], position: int, line: int) -> None:
        """The rows up to there have been taken."""
        self.created += created
        self.rejected += len(errors)
        self.errors += errors[: MOST_ERRORS - len(self.errors)]
        self.position, self.line = position, line
