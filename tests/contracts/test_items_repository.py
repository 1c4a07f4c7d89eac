"""Items, on SQLite, on PostgreSQL and in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from application.items import BATCH, RemoveItemsOfUser
from application.ports.persistence import Work
from application.users import DeleteUser
from domain.items import Item, ItemChange, ItemNotFound, ItemSort
from domain.pages import PageRequest
from domain.sessions import InvalidAccessToken
from domain.users import Actor, User
from tests.contracts.stores import Store


def an_item(store: Store, owner: User, title: str = "Buy milk", description: str | None = None) -> Item:
    now = store.clock.now()
    return Item(title=title, description=description, owner_id=owner.id, created_at=now, updated_at=now)


async def has_item(store: Store, owner: User, title: str = "Buy milk", description: str | None = None) -> Item:
    async with store.begin() as work:
        return await work.items.add(an_item(store, owner, title, description))


async def all_titles(store: Store, owner: User, sort: ItemSort = ItemSort.OLDEST, *words: str) -> list[str]:
    page = await store.reads.items(owner.id, PageRequest(limit=100), sort=sort, words=words)
    return [item.title for item in page.items]


async def test_an_item_is_read_as_it_was_added(store: Store) -> None:
    added = await has_item(store, await store.has(), "\U0001f95b", "Two\nlitres")
    assert added.id > 0
    assert await store.reads.item(added.id) == added
    async with store.begin() as work:
        assert await work.items.get(added.id) == added


async def test_many_items_are_added_as_one_is(store: Store) -> None:
    ada = await store.has()
    async with store.begin() as work:
        added = await work.items.add_all([an_item(store, ada, f"{n}", "Zo\u00eb") for n in range(600)])
    assert [item.title for item in added] == [f"{n}" for n in range(600)]
    assert len({item.id for item in added}) == 600
    assert await store.reads.item(added[-1].id) == added[-1]
    assert len(await all_titles(store, ada, ItemSort.OLDEST, "599", "zo\u00eb")) == 1


async def test_nobody_who_is_gone_gets_many_items(store: Store) -> None:
    ada = await store.has()
    async with store.begin() as work:
        await work.users.delete(ada.id)
    with pytest.raises(InvalidAccessToken):
        async with store.begin() as work:
            await work.items.add_all([an_item(store, ada)])


async def test_there_is_no_item_that_was_not_added(store: Store) -> None:
    with pytest.raises(ItemNotFound):
        await store.reads.item(4711)
    async with store.begin() as work:
        with pytest.raises(ItemNotFound):
            await work.items.get(4711)


async def test_a_saved_item_is_read_as_it_was_saved_and_found_by_its_new_words(store: Store) -> None:
    ada = await store.has()
    item = await has_item(store, ada)
    store.clock.advance(timedelta(minutes=1))
    item.edit(ItemChange(title="Bread", describe=True, description="RYE"), store.clock.now())
    async with store.begin() as work:
        await work.items.save(item)
    assert await store.reads.item(item.id) == item
    assert await all_titles(store, ada, ItemSort.OLDEST, "rye", "bread") == ["Bread"]
    assert await all_titles(store, ada, ItemSort.OLDEST, "milk") == []


async def test_a_deleted_item_is_gone(store: Store) -> None:
    item = await has_item(store, await store.has())
    async with store.begin() as work:
        await work.items.delete(item.id)
    with pytest.raises(ItemNotFound):
        await store.reads.item(item.id)


async def test_an_item_that_is_gone_is_not_brought_back_by_saving_it_and_may_be_deleted_again(store: Store) -> None:
    item = await has_item(store, await store.has())
    async with store.begin() as work:
        await work.items.delete(item.id)
        await work.items.save(item)
        await work.items.delete(item.id)
    with pytest.raises(ItemNotFound):
        await store.reads.item(item.id)


async def test_nobody_who_is_gone_gets_an_item(store: Store) -> None:
    ada = await store.has()
    async with store.begin() as work:
        await work.users.delete(ada.id)
    with pytest.raises(InvalidAccessToken):
        await has_item(store, ada)


async def test_an_account_can_not_go_between_the_adding_of_an_item_and_its_commit(store: Store) -> None:
    ada = await store.has()

    async def delete() -> None:
        async with store.begin() as work:
            await work.users.delete(ada.id)
        async with store.begin() as work:
            await work.items.delete_owned_by(ada.id, limit=100)

    async with store.begin() as work:
        await work.items.add(an_item(store, ada))
        deleting = asyncio.create_task(delete())
        await asyncio.wait([deleting], timeout=0.3)
        assert not deleting.done()
    await deleting

    assert await all_titles(store, ada) == []


async def test_the_items_of_a_user_go_in_batches(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    for _ in range(5):
        await has_item(store, ada)
    await has_item(store, bob)
    removed = []
    for _ in range(3):
        async with store.begin() as work:
            removed.append(await work.items.delete_owned_by(ada.id, limit=3))
    assert removed == [3, 2, 0]
    assert len(await all_titles(store, bob)) == 1


async def test_any_number_of_items_of_a_deleted_user_goes_in_several_transactions(store: Store) -> None:
    ada, bob = await store.has(is_superuser=True), await store.has("bob@example.org")
    async with store.begin() as work:
        for owner, count in ((ada, 1), (bob, 2 * BATCH + 1)):
            for _ in range(count):
                await work.items.add(an_item(store, owner))
    await DeleteUser(store.begin)(Actor(ada, "session-1"), bob.id)
    jobs = await store.jobs.claim("a worker", limit=10, lease=timedelta(minutes=1))
    (job,) = [job for job in jobs if job.kind == "remove_items_of_user"]
    left: list[int | None] = []

    @asynccontextmanager
    async def begin() -> AsyncIterator[Work]:
        left.append((await store.reads.items(bob.id, PageRequest(), sort=ItemSort.NEWEST, words=())).total)
        async with store.begin() as work:
            yield work

    await RemoveItemsOfUser(begin)(job)

    assert left == [2 * BATCH + 1, BATCH + 1, 1]
    assert (await store.reads.items(bob.id, PageRequest(), sort=ItemSort.NEWEST, words=())).total == 0
    assert len(await all_titles(store, ada)) == 1


@pytest.mark.parametrize("sort", ItemSort)
async def test_a_list_is_sorted_as_python_sorts_with_equals_by_id(store: Store, sort: ItemSort) -> None:
    ada = await store.has()
    items = []
    for n, title in enumerate(["b", "\u00e9", "B", "a", "\U0001f95b", "b", "_", "\ufb01", "Z z"]):
        if n % 2:
            store.clock.advance(timedelta(microseconds=1))
        items.append(await has_item(store, ada, title))
    wanted = sorted(items, key=sort.key, reverse=sort.falling)
    request, walked = PageRequest(limit=2), list[Item]()
    while True:
        page = await store.reads.items(ada.id, request, sort=sort, words=())
        walked += page.items
        if page.next_key is None:
            break
        request = PageRequest(limit=2, after=page.next_key)
    assert walked == wanted
    assert (await store.reads.items(ada.id, PageRequest(limit=3, skip=4), sort=sort, words=())).items == wanted[4:7]
    assert (await store.reads.items(ada.id, PageRequest(limit=3, skip=4), sort=sort, words=())).total == len(items)


async def test_every_word_must_be_in_title_or_description(store: Store) -> None:
    ada = await store.has()
    await has_item(store, ada, "100% Stra\u00dfe", "a_b")
    await has_item(store, ada, "100 strasse", "a!b")
    assert await all_titles(store, ada, ItemSort.OLDEST, "strasse") == ["100% Stra\u00dfe", "100 strasse"]
    assert await all_titles(store, ada, ItemSort.OLDEST, "%") == ["100% Stra\u00dfe"]
    assert await all_titles(store, ada, ItemSort.OLDEST, "100", "a_b") == ["100% Stra\u00dfe"]
    assert await all_titles(store, ada, ItemSort.OLDEST, "a!b") == ["100 strasse"]
    assert await all_titles(store, ada, ItemSort.OLDEST, "100", "tea") == []
