"""Uploads that are sent in as many requests as it takes, and go on where the last one ended."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from domain.errors import Conflict, NotFound, Refusal, TooLarge
from domain.files import FileId
from domain.users import Actor, UserId

if TYPE_CHECKING:
    from hashlib import _Hash

LIFETIME: Final = timedelta(hours=24)
"""How long an upload may take from its creation, and for how long it can be asked after."""
ALGORITHMS: Final = ("sha1", "sha256", "md5")
"""What a checksum may be made with."""
MOST_PARTS: Final = 10_000
"""Parts of one upload: whoever sends a file byte by byte is stopped there."""


class UploadNotFound(NotFound):
    """It was never created, has expired or was terminated."""

    code = "upload_not_found"
    message = "Upload not found"


class OffsetMismatch(Conflict):
    """The upload has another offset by now, or always had."""

    code = "offset_mismatch"
    message = "The upload doesn't go on at this offset. Please ask for its offset again"


class ChecksumMismatch(Refusal):
    code = "checksum_mismatch"
    message = "The bytes that came are not those that were sent. Please send them again"


class LongerThanSaid(TooLarge):
    code = "longer_than_said"
    message = "There are more bytes than the upload was said to have"


class TooManyParts(TooLarge):
    code = "too_many_parts"
    message = "The upload came in too many pieces. Please send larger ones"


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the client says of the bytes of one request."""

    algorithm: str
    """One of `ALGORITHMS`."""
    digest: bytes

    def new_hash(self) -> "_Hash":
        """One of that algorithm, of nothing yet."""
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def must_be_that_of(self, hashed: "_Hash") -> None:
        """Raises `ChecksumMismatch`."""
        if not hmac.compare_digest(hashed.digest(), self.digest):
            raise ChecksumMismatch


@dataclass(frozen=True, slots=True)
class UploadPart:
    """Bytes of an upload that are staged."""

    offset: int
    """Where in the upload they begin."""
    key: str
    sha256: str
    size: int
    """Bytes."""


@dataclass(kw_only=True, slots=True)
class ResumableUpload:
    """A file on its way. `filename` is a label, `metadata` what the client said of it, as it was said."""

    id: str
    """32 hexadecimal digits that nobody can guess."""
    owner_id: UserId
    length: int
    """Bytes of the whole."""
    filename: str
    content_type: str
    metadata: str
    created_at: datetime
    offset: int = 0
    """Bytes that came. All of them only once the file is there."""
    file_id: FileId | None = None
    """What became of it."""

    @property
    def expires_at(self) -> datetime:
        return self.created_at + LIFETIME

    def must_belong_to(self, actor: Actor) -> None:
        """Raises `UploadNotFound` for anybody else, superusers too."""
        if self.owner_id != actor.user.id:
            raise UploadNotFound

    def must_be_alive(self, now: datetime) -> None:
        """Raises `UploadNotFound` once it has expired."""
        if self.expires_at <= now:
            raise UploadNotFound

    def must_be_at(self, offset: int) -> None:
        """Raises `OffsetMismatch`."""
        if self.offset != offset:
            raise OffsetMismatch

    def take(self, parts: Sequence[UploadPart], had: int) -> None:
        """Go on by these parts, `had` being how many there are already. Raises `TooManyParts`, or `OffsetMismatch` if
        they begin elsewhere."""
        if had + len(parts) > MOST_PARTS:
            raise TooManyParts
        for part in parts:
            self.must_be_at(part.offset)
            self.offset += part.size

    def finish(self, file_id: FileId) -> None:
        """It has become this file."""
        self.offset = self.length
        self.file_id = file_id
