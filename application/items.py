"""Looking after one's own items."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.persistence import Also, Begin, Reads
from domain.events import ItemCreated, ItemDeleted, ItemUpdated
from domain.items import Item, ItemChange, ItemSort
from domain.pages import Page, PageRequest
from domain.search import words
from domain.users import Actor

BATCH: Final = 1000
"""Items of a deleted user that a transaction removes at most, so that none of them lasts long."""


@dataclass(frozen=True)
class CreateItem:
    """`also`, if it is given, is done in the same transaction once the item is added.

    Raises `InvalidAccessToken` when the account was deleted meanwhile, `ValueError` for a text that breaks the rules.
    """

    begin: Begin
    clock: Clock

    async def __call__(
        self, actor: Actor, *, title: str, description: str | None, also: Also[Item] | None = None
    ) -> Item:
        now = self.clock.now()
        item = Item(title=title, description=description, owner_id=actor.user.id, created_at=now, updated_at=now)
        async with self.begin() as work:
            item = await work.items.add(item)
            work.announce(ItemCreated(item))
            if also is not None:
                await also(work, item)
        return item


@dataclass(frozen=True)
class GetItem:
    """Raises `ItemNotFound`."""

    reads: Reads

    async def __call__(self, actor: Actor, item_id: int) -> Item:
        item = await self.reads.item(item_id)
        item.must_belong_to(actor)
        return item


@dataclass(frozen=True)
class ListItems:
    """One's own items or, for a superuser, those of `owner_id`; `q` is words, each of which title or description
    contains. Raises `NotEnoughPrivileges`.
    """

    reads: Reads

    async def __call__(
        self, actor: Actor, request: PageRequest, *, sort: ItemSort, q: str | None, owner_id: int | None
    ) -> Page[Item]:
        owner = actor.user.id if owner_id is None else owner_id
        actor.must_be_self_or_superuser(owner)
        return await self.reads.items(owner, request, sort=sort, words=words(q))


@dataclass(frozen=True)
class EditItem:
    """Change an item, if it is at one of `versions`.

    Raises `ItemNotFound`, `VersionMismatch`, and `ValueError` for a text that breaks the rules.
    """

    begin: Begin
    clock: Clock

    async def __call__(
        self, actor: Actor, item_id: int, change: ItemChange, *, versions: Collection[int] | None
    ) -> Item:
        async with self.begin() as work:
            item = await work.items.get(item_id)
            item.must_belong_to(actor)
            item.must_be_at_one_of(versions)
            item.edit(change, self.clock.now())
            await work.items.save(item)
            work.announce(ItemUpdated(item))
        return item


@dataclass(frozen=True)
class DeleteItem:
    """Remove an item, if it is at one of `versions`. Raises `ItemNotFound` or `VersionMismatch`."""

    begin: Begin

    async def __call__(self, actor: Actor, item_id: int, *, versions: Collection[int] | None) -> None:
        async with self.begin() as work:
            item = await work.items.get(item_id)
            item.must_belong_to(actor)
            item.must_be_at_one_of(versions)
            await work.items.delete(item_id)
            work.announce(ItemDeleted(item.id, item.owner_id))


@dataclass(frozen=True)
class RemoveItemsOfUser:
    """The reaction to `UserDeleted`: in batches, so that it holds nothing up however many there are."""

    begin: Begin

    async def __call__(self, job: Job) -> None:
        removed = BATCH
        while removed >= BATCH:
            async with self.begin() as work:
                removed = await work.items.delete_owned_by(job.payload["user_id"], limit=BATCH)
