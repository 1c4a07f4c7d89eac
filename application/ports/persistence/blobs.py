"""What is known of stored bytes, as it is kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.files import Claim


class Blobs(Protocol):
    """Which bytes the store has, and who is about to use them, inside a transaction."""

    async def claim(self, claims: Sequence[Claim]) -> None:
        """Note that these bytes are about to be used. Waits for one who is just collecting some of them."""

    async def release(self, claims: Sequence[Claim]) -> int:
        """Remove the claims; how many of them were still there. Until this transaction ends, their bytes can't be
        forgotten."""

    async def forget(self, sha256: str, *, claimed_before: datetime) -> bool:
        """Forget these bytes, if nothing refers to them and no claim is as young as that: True. Until this
        transaction ends, nobody can claim them. Their thumbnails must have been removed.

        Older claims are what an upload that died left behind.
        """
