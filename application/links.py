"""Links to the content of a file that work without signing in, for a while."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from application.files import Content, content_of
from application.ports.clock import Clock
from application.ports.persistence import Also, Begin, Reads
from application.ports.security import Secrets
from application.ports.storage import BlobStore
from domain.files import FileId
from domain.links import InvalidLink, Link, last_second, signed_text
from domain.users import Actor

PURPOSE: Final = "file link"


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
        expires = last_second(self.clock.now(), lifetime)
        file = await self.reads.file(file_id)
        file.must_belong_to(actor)
        link = Link(file.id, expires, self.secrets.derived(PURPOSE, signed_text(file.id, expires)))
        if also is not None:
            async with self.begin() as work:
                await also(work, link)
        return link


@dataclass(frozen=True)
class OpenLink:
    """The content that a link leads to.

    Raises `InvalidLink` when it has expired or a byte of it is not as it was given, `FileNotFound` once the file or its
    owner's account is deleted.
    """

    reads: Reads
    store: BlobStore
    secrets: Secrets
    clock: Clock

    async def __call__(self, file_id: int, expires: str, signature: str) -> Content:
        if not self.secrets.is_derived(signature, PURPOSE, signed_text(file_id, expires)):
            raise InvalidLink
        Link(FileId(file_id), expires, signature).must_be_alive(self.clock.now())
        return content_of(await self.reads.file(file_id), self.store)
