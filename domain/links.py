"""Links to the content of a file that work without signing in, for a while."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final

from domain.errors import Forbidden
from domain.files import FileId

LONGEST_LIFETIME: Final = timedelta(days=7)


class InvalidLink(Forbidden):
    """A link that has expired, or that was never made so."""

    code = "invalid_link"
    message = "This link is no longer valid"


def last_second(now: datetime, lifetime: timedelta) -> str:
    """When a link ends that lives that long from now, up to the end of a second: in digits, as `Link.expires` is.

    Raises `ValueError` for a lifetime that breaks the rules.
    """
    if not timedelta(seconds=1) <= lifetime <= LONGEST_LIFETIME:
        raise ValueError("A link must live for 1 second to 7 days")
    return str(ceil((now + lifetime).timestamp()))


def signed_text(file_id: int, expires: str) -> str:
    """What the signature of a link is made of."""
    return f"{file_id} {expires}"


@dataclass(frozen=True, slots=True)
class Link:
    """What opens the content of one file. Nothing of it is stored: the signature is derived from the rest."""

    file_id: FileId
    expires: str
    """Whole seconds since the epoch, in digits."""
    signature: str

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(int(self.expires), UTC)

    def must_be_alive(self, now: datetime) -> None:
        """Raises `InvalidLink` once it has expired. Only for a link whose signature holds."""
        if now >= self.expires_at:
            raise InvalidLink
