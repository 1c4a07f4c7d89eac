"""Files: a label, and bytes that are known by their hash."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NewType

from domain.errors import Invalid, NotFound, TooLarge
from domain.images import ImageInfo
from domain.lines import BIDIRECTIONAL, BREAKING
from domain.users import Actor, UserId

FileId = NewType("FileId", int)

LONGEST_NAME: Final = 255
LONGEST_EXTENSION: Final = 32
"""Characters, with the dot: what is longer is no extension, and is cut like the rest of a name."""

SEPARATORS: Final = frozenset("/\\")
UNPRINTABLE: Final = BREAKING | {"Cs"}
"""Unicode's categories of what breaks a line, and of surrogates."""

UNKNOWN_TYPE: Final = "application/octet-stream"
LONGEST_TYPE: Final = 127
_PART: Final = r"[A-Za-z0-9!#$&^_.+-]+"
MEDIA_TYPE: Final = re.compile(rf"{_PART}/{_PART}")


class FileNotFound(NotFound):
    code = "file_not_found"
    message = "File not found"


class FileTooLarge(TooLarge):
    """`limit` is in bytes."""

    code = "file_too_large"
    message = "File size exceeds 1073741824 bytes"

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"File size exceeds {self.limit} bytes"


class QuotaExceeded(TooLarge):
    code = "quota_exceeded"
    message = "There is not enough room left in your storage. Delete some files first"


def must_have_room(*, used: int, more: int, quota: int) -> None:
    """Raises `QuotaExceeded` if that is too much together. All are in bytes; what is on its way counts as used."""
    if used + more > quota:
        raise QuotaExceeded


class InvalidFilename(Invalid, ValueError):
    code = "invalid_filename"
    message = "The file needs a name"


def label(text: str) -> str:
    """The name that a file is shown under; never a path. Taken again, it stays as it is.

    Control characters, `/`, `\\` and surrogates are left out, also those that turn the direction of writing. What is
    longer than 255 characters is cut, the extension kept. Raises `InvalidFilename` if nothing is left to call it by.
    """
    name = "".join(c for c in text if not _is_stripped(c))
    if len(name) > LONGEST_NAME:
        stem, dot, extension = name.rpartition(".")
        end = dot + extension if stem and len(extension) < LONGEST_EXTENSION else ""
        name = name[: LONGEST_NAME - len(end)] + end
    if not name.strip(" .") or name.isspace():
        raise InvalidFilename
    return name


def _is_stripped(character: str) -> bool:
    return character in SEPARATORS or character in BIDIRECTIONAL or unicodedata.category(character) in UNPRINTABLE


def content_type(declared: str | None) -> str:
    """The media type that is declared, without parameters (RFC 9110 section 8.3.1); `application/octet-stream` if
    none is, or none that can be."""
    given = (declared or "").partition(";")[0].strip().lower()
    return given if len(given) <= LONGEST_TYPE and MEDIA_TYPE.fullmatch(given) else UNKNOWN_TYPE


@dataclass(kw_only=True, slots=True)
class File:
    """Somebody's bytes under a label. Its id is 0 until the repository gives it one, and never given twice."""

    id: FileId = FileId(0)
    filename: str
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    """64 lower-case hexadecimal digits: what the bytes are stored under."""
    owner_id: UserId
    image: ImageInfo | None = None
    is_export: bool = False
    """Whether it is an export of the account: no later one holds it."""
    created_at: datetime

    def must_belong_to(self, actor: Actor) -> None:
        """Raises `FileNotFound` for anybody else, superusers too."""
        if self.owner_id != actor.user.id:
            raise FileNotFound


@dataclass(frozen=True, slots=True)
class Claim:
    """The bytes of a hash are about to be used: until it is released, or too old, nothing collects them."""

    id: str
    sha256: str
    size: int
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class Doom:
    """The leave to delete the bytes of a hash: nobody else can delete or claim them until it ends."""

    sha256: str
    until: int
    """Milliseconds since the epoch, by the database's clock. No two dooms of the same bytes end at the same time."""
