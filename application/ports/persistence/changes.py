"""What users are told of, as it is kept."""

from datetime import timedelta
from typing import Protocol


class Changes(Protocol):
    """What users are told of, inside a transaction. It is written down by `Work.announce`."""

    async def delete_of(self, user_id: int, *, limit: int) -> int:
        """Remove up to `limit` changes of that user; how many there were."""

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        """Look at the oldest `limit` changes, and remove those that are there for longer; how many there were."""
