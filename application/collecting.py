"""Collecting bytes that nothing refers to."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.persistence import Begin, Reads
from application.ports.persistence.blobs import BeingDeleted
from application.ports.storage import BlobStore
from application.uninterrupted import to_the_end
from domain.errors import Unavailable
from domain.events import ContentAbandoned
from domain.files import Doom

CLAIM_GRACE: Final = timedelta(hours=1)
"""How long an upload may take from its claim, when all bytes have come, to its file. One that takes longer fails."""
STAGED_GRACE: Final = timedelta(hours=48)
"""How long bytes may stay staged: longer than a resumable upload lives, and any other goes on."""
LEASE: Final = timedelta(minutes=10)
"""How long whoever dooms bytes has for deleting them: several times what a store may take, and what is on its way to
it when it is given up."""
START: Final = timedelta(seconds=30)
"""Of that, how long it may be until the store is asked."""
BATCH: Final = 500
"""Hashes that are looked up at once."""


@dataclass(frozen=True)
class CollectBlob:
    """The reaction when a file is deleted or an upload came to nothing: the bytes go, if nobody uses them.

    The database isn't kept waiting for the store. A first transaction dooms the bytes, then they are deleted, then a
    second one forgets them; nobody can claim them meanwhile. Whoever dies in between, or gets no answer from the store,
    leaves them doomed, and what it asked for may still be done: so nobody claims or dooms them before `LEASE` is over.
    The deletion begins within `START` of the first transaction or not at all, and the store gives up long before the
    lease ends. So no file loses its bytes, unless a host stops, at the very moment between looking at its clock and
    asking the store, for as long as all of that lease.

    Raises `BeingDeleted` while somebody else has that leave, and `Unavailable`: then it is to be done again.
    """

    begin: Begin
    store: BlobStore
    clock: Clock

    async def __call__(self, job: Job) -> None:
        await self.collect(job.payload["sha256"])

    async def collect(self, sha256: str) -> None:
        """Remove these bytes, unless they are used; thumbnails that were made of them go next. Raises as above."""
        now = self.clock.now()
        async with self.begin() as work:
            for thumbnail in await work.thumbnails.remove_of(sha256):
                work.announce(ContentAbandoned(thumbnail))
            doom = await work.blobs.doom(sha256, claimed_before=now - CLAIM_GRACE, lease=LEASE)
        if doom is not None:
            await to_the_end(self._delete(doom, start_before=now + START))

    async def _delete(self, doom: Doom, *, start_before: datetime) -> None:
        if self.clock.now() > start_before:
            raise Unavailable
        await self.store.delete(doom.sha256)
        async with self.begin() as work:
            await work.blobs.forget(doom)


@dataclass(frozen=True)
class SweepBlobs:
    """Remove what uploads and collections that died left behind: staged bytes, and kept ones that nothing refers to."""

    reads: Reads
    store: BlobStore
    clock: Clock
    collect_blob: CollectBlob

    async def __call__(self, _: Job) -> None:
        now = self.clock.now()
        await self.store.sweep(now - STAGED_GRACE)
        after, more = "", True
        while more:
            unused = await self.reads.unused_blobs(claimed_before=now - CLAIM_GRACE, after=after, limit=BATCH)
            for sha256 in unused:
                with suppress(BeingDeleted):
                    await self.collect_blob.collect(sha256)
                after = sha256
            more = len(unused) == BATCH
