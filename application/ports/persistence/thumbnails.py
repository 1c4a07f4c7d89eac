"""Which thumbnails there are, as it is kept."""

from collections.abc import Sequence
from typing import Protocol

from domain.images import Thumbnail


class Thumbnails(Protocol):
    """The thumbnails, inside a transaction. One refers to its own bytes, and not to those that it was made of."""

    async def add(self, thumbnail: Thumbnail) -> None:
        """Note where it is stored; its bytes must be claimed. It takes the place of one of the same source
        that fits the same square.

        Raises `FileNotFound` if the bytes that it was made of are gone.
        """

    async def remove_of(self, source: str) -> Sequence[str]:
        """Remove what was made of these bytes, unless a file has them; the hashes that it is stored under. Until this
        transaction ends, nothing more is made of them."""
