"""What is known of stored bytes, as it is kept."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from domain.errors import Unavailable
from domain.files import Claim, Doom


class BeingDeleted(Unavailable):
    """Somebody has the leave to delete these bytes, and may do it at any moment."""


class Blobs(Protocol):
    """Which bytes the store has, and who is about to use them, inside a transaction."""

    async def claim(self, claims: Sequence[Claim]) -> None:
        """Note that these bytes are about to be used. Raises `BeingDeleted` while some of them are doomed."""

    async def release(self, claims: Sequence[Claim]) -> int:
        """Remove the claims; how many of them were still there. Until this transaction ends, their bytes can't be
        doomed."""

    async def doom(self, sha256: str, *, claimed_before: datetime, lease: timedelta) -> Doom | None:
        """The leave to delete these bytes, if nothing refers to them and no claim is as young as that; it ends after
        `lease`. Their thumbnails must have been removed. Raises `BeingDeleted` while somebody else has it.

        Older claims are what an upload that died left behind; they are removed.
        """

    async def forget(self, doom: Doom) -> bool:
        """Forget these bytes, which are deleted: they can be claimed again. False if the doom ended, and somebody has
        claimed or doomed them since."""
