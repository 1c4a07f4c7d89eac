"""The items, as they are kept."""

from collections.abc import Sequence
from typing import Protocol

from domain.items import Item


class Items(Protocol):
    """The items, inside a transaction. `get` keeps others from changing the row until it ends."""

    async def add(self, item: Item) -> Item:
        """Store a new item and give it its id. Its owner can't be deleted until this transaction ends.

        Raises `InvalidAccessToken` if the owner is gone.
        """

    async def add_all(self, items: Sequence[Item]) -> Sequence[Item]:
        """As `add`, for one item or many of one owner, at about the cost of one."""

    async def get(self, item_id: int) -> Item:
        """Raises `ItemNotFound`."""

    async def save(self, item: Item) -> None: ...

    async def delete(self, item_id: int) -> None: ...

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        """Remove up to `limit` items of that user; how many there were."""
