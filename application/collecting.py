"""Collecting bytes that nothing refers to."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.persistence import Begin, Reads
from application.ports.storage import BlobStore
from application.uninterrupted import to_the_end
from domain.events import ContentAbandoned

CLAIM_GRACE: Final = timedelta(hours=1)
"""How long an upload may take from its claim, when all bytes have come, to its file. One that takes longer fails."""
STAGED_GRACE: Final = timedelta(hours=48)
"""How long bytes may stay staged: longer than a resumable upload lives, and any other goes on."""
BATCH: Final = 500
"""Hashes that are looked up at once."""


@dataclass(frozen=True)
class CollectBlob:
    """The reaction when a file is deleted or an upload came to nothing: the bytes go, if nobody uses them.

    They are removed inside the transaction that forgets them: whoever wants them meanwhile waits, and then stores them
    anew. If it ends in between, they are forgotten the next time.
    """

    begin: Begin
    store: BlobStore
    clock: Clock

    async def __call__(self, job: Job) -> None:
        await self.collect(job.payload["sha256"])

    async def collect(self, sha256: str) -> None:
        """Remove these bytes, unless they are used; thumbnails that were made of them go next."""
        async with self.begin() as work:
            for thumbnail in await work.thumbnails.remove_of(sha256):
                work.announce(ContentAbandoned(thumbnail))
            if await work.blobs.forget(sha256, claimed_before=self.clock.now() - CLAIM_GRACE):
                await to_the_end(self.store.delete(sha256))


@dataclass(frozen=True)
class SweepBlobs:
    """Remove what uploads that died left behind: staged bytes, and kept ones that nothing refers to."""

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
                await self.collect_blob.collect(sha256)
                after = sha256
            more = len(unused) == BATCH
