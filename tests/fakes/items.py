"""Items and kept answers in memory. Entities are copied on their way in and out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.idempotency import AnswerAlreadyKept, KeptAnswer
from domain.items import Item, ItemId, ItemNotFound, ItemSort
from domain.pages import Page, PageRequest
from domain.search import folded
from domain.sessions import InvalidAccessToken
from tests.fakes.repositories import Tables


@dataclass
class InMemoryItems:
    tables: Callable[[], Tables]

    async def add(self, item: Item) -> Item:
        if item.owner_id not in self.tables().users:
            raise InvalidAccessToken
        added = replace(item, id=ItemId(next(self.tables().item_ids)))
        self.tables().items[added.id] = added
        return replace(added)

    async def add_all(self, items: Sequence[Item]) -> Sequence[Item]:
        assert items, "there is nothing to add"
        return [await self.add(item) for item in items]

    async def get(self, item_id: int) -> Item:
        if item_id not in self.tables().items:
            raise ItemNotFound
        return replace(self.tables().items[item_id])

    async def save(self, item: Item) -> None:
        if item.id in self.tables().items:
            self.tables().items[item.id] = replace(item)

    async def delete(self, item_id: int) -> None:
        self.tables().items.pop(item_id, None)

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        items = self.tables().items
        owned = [item.id for item in items.values() if item.owner_id == user_id][:limit]
        for item_id in owned:
            del items[item_id]
        return len(owned)


@dataclass
class InMemoryKeptAnswers:
    tables: Callable[[], Tables]
    now: Callable[[], datetime]
    """The database's clock."""

    async def add(self, answer: KeptAnswer) -> None:
        key = (answer.attempt.user_id, answer.attempt.key)
        if key in self.tables().answers:
            raise AnswerAlreadyKept
        self.tables().answers[key] = answer, self.now()

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        answers = self.tables().answers
        old = [key for key, (_, since) in answers.items() if since <= self.now() - kept][:limit]
        for key in old:
            del answers[key]
        return len(old)


def page_of(owned: Sequence[Item], request: PageRequest, sort: ItemSort, words: Sequence[str]) -> Page[Item]:
    """That page of these items."""
    found = [item for item in owned if all(word in folded(item.title, item.description) for word in words)]
    found.sort(key=sort.key, reverse=sort.falling)
    rest = found[request.skip :]
    if request.after is not None:
        after = request.after
        rest = [item for item in found if (sort.key(item) < after if sort.falling else sort.key(item) > after)]
    page = [replace(item) for item in rest[: request.limit]]
    return Page(
        page,
        total=len(found) if request.after is None else None,
        next_key=sort.key(page[-1]) if len(rest) > len(page) > 0 else None,
    )
