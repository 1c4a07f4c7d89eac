"""Links to the content of a file that work without signing in, for a while."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from application.files import Content, content_of
from application.ports.clock import Clock
from application.ports.persistence import Also, Begin, Reads
from application.ports.security import Secrets
from application.ports.storage import BlobStore
from domain.files import FileId, InvalidLink
from domain.users import Actor

PURPOSE: Final = "file link"
LONGEST_LIFETIME: Final = timedelta(days=7)


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


def _subject(file_id: int, expires: str) -> str:
    return f"{file_id} {expires}"


@dataclass(frozen=True)
class CreateLink:
    """A link to one's own file that lives that long, up to the end of a second.

    Raises `FileNotFound`, or `ValueError` for a lifetime that breaks the rules.
    """

    begin: Begin
    reads: Reads
    secrets: Secrets
    clock: Clock

    async def __call__(
        self, actor: Actor, file_id: int, lifetime: timedelta, *, also: Also[Link] | None = None
    ) -> Link:
        if not timedelta(seconds=1) <= lifetime <= LONGEST_LIFETIME:
            raise ValueError("A link must live for 1 second to 7 days")
        file = await self.reads.file(file_id)
        file.must_belong_to(actor)
        expires = str(-int(-(self.clock.now() + lifetime).timestamp() // 1))
        link = Link(file.id, expires, self.secrets.derived(PURPOSE, _subject(file.id, expires)))
        if also is not None:
            async with self.begin() as work:
                await also(work, link)
        return link


@dataclass(frozen=True)
class OpenLink:
    """The content that a link leads to.

    Raises `InvalidLink` when it has expired or a byte of it is not as it was given, `FileNotFound` once the file is
    deleted.
    """

    reads: Reads
    store: BlobStore
    secrets: Secrets
    clock: Clock

    async def __call__(self, file_id: int, expires: str, signature: str) -> Content:
        if not self.secrets.is_derived(signature, PURPOSE, _subject(file_id, expires)):
            raise InvalidLink
        if self.clock.now().timestamp() >= int(expires):
            raise InvalidLink
        return content_of(await self.reads.file(file_id), self.store)
