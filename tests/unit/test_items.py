import asyncio
from datetime import timedelta

import pytest

from application.idempotency import DoOnce
from application.items import BATCH, CreateItem, DeleteItem, EditItem, GetItem, ListItems
from application.ports.persistence import Also
from domain.events import ItemCreated, ItemDeleted, ItemUpdated, UserDeleted
from domain.idempotency import KEPT, Attempt, IdempotencyInProgress, IdempotencyKeyReused
from domain.items import Item, ItemChange, ItemNotFound, ItemSort, VersionMismatch
from domain.pages import PageRequest
from domain.passwords import Password
from domain.users import Actor, NotEnoughPrivileges, UserId
from tests.builders import PASSWORD, World, a_job
from tests.fakes import InMemoryStore


async def an_actor(world: World, email: str = "ada@example.org", *, is_superuser: bool = False) -> Actor:
    return Actor(await world.has(email, is_superuser=is_superuser), "a session")


async def create(world: World, actor: Actor, title: str = "Buy milk", also: Also[Item] | None = None) -> Item:
    return await CreateItem(world.store.begin, world.clock)(actor, title=title, description=None, also=also)


async def edit(world: World, actor: Actor, item: Item, versions: set[int] | None = None) -> Item:
    change = ItemChange(title="Bread")
    return await EditItem(world.store.begin, world.clock)(actor, item.id, change, versions=versions)


def answer(item: Item) -> str:
    return f"item {item.id}"


async def count(world: World, owner: Actor) -> int | None:
    return (await world.store.items(owner.user.id, PageRequest(), sort=ItemSort.NEWEST, words=())).total


@pytest.mark.parametrize("title", ["", " ", "\u2003\n", "x" * 256])
async def test_a_title_that_breaks_the_rules_is_refused_and_nothing_written(world: World, title: str) -> None:
    ada = await an_actor(world)
    item = await create(world, ada)
    with pytest.raises(ValueError, match="title"):
        await create(world, ada, title)
    with pytest.raises(ValueError, match="title"):
        await EditItem(world.store.begin, world.clock)(ada, item.id, ItemChange(title=title), versions=None)
    assert await world.store.item(item.id) == item
    assert await count(world, ada) == 1


async def test_the_longest_texts_are_taken_and_longer_descriptions_refused(world: World) -> None:
    ada = await an_actor(world)
    create, change = CreateItem(world.store.begin, world.clock), EditItem(world.store.begin, world.clock)
    item = await create(ada, title="x" * 255, description="y" * 10_000)
    now = world.clock.now()
    title, description = "x" * 255, "y" * 10_000
    assert item == Item(
        id=item.id, title=title, description=description, owner_id=ada.user.id, created_at=now, updated_at=now
    )
    with pytest.raises(ValueError, match="description"):
        await create(ada, title="Milk", description="y" * 10_001)
    with pytest.raises(ValueError, match="description"):
        await change(ada, item.id, ItemChange(describe=True, description="y" * 10_001), versions=None)
    assert await world.store.item(item.id) == item


async def test_a_description_is_changed_taken_away_or_left_alone(world: World) -> None:
    ada = await an_actor(world)
    item = await create(world, ada)
    change = EditItem(world.store.begin, world.clock)
    described = await change(ada, item.id, ItemChange(describe=True, description="Two litres"), versions=None)
    renamed = await change(ada, item.id, ItemChange(title="Oat milk"), versions=None)
    bare = await change(ada, item.id, ItemChange(describe=True), versions=None)
    assert [each.description for each in (described, renamed, bare)] == ["Two litres", "Two litres", None]


async def test_a_change_is_a_new_version_at_its_time(world: World) -> None:
    ada = await an_actor(world)
    item = await create(world, ada)
    world.clock.advance(timedelta(minutes=1))
    edited = await edit(world, ada, item, {1})
    assert (edited.title, edited.version) == ("Bread", 2)
    assert edited.updated_at == world.clock.now() > edited.created_at == item.created_at
    assert await GetItem(world.store)(ada, item.id) == edited


async def test_what_happens_to_an_item_is_announced(world: World) -> None:
    ada = await an_actor(world)
    item = await create(world, ada)
    edited = await edit(world, ada, item)
    await DeleteItem(world.store.begin)(ada, item.id, versions=None)
    gone = ItemDeleted(item.id, ada.user.id)
    assert world.store.announced == [ItemCreated(item), ItemUpdated(edited), gone]


async def test_another_version_is_left_alone(world: World) -> None:
    ada = await an_actor(world)
    item = await create(world, ada)
    for versions in (set[int](), {2, 3}):
        with pytest.raises(VersionMismatch):
            await edit(world, ada, item, versions)
        with pytest.raises(VersionMismatch):
            await DeleteItem(world.store.begin)(ada, item.id, versions=versions)
    assert await GetItem(world.store)(ada, item.id) == item


@pytest.mark.parametrize("is_superuser", [False, True])
async def test_others_items_do_not_exist(world: World, is_superuser: bool) -> None:
    item = await create(world, await an_actor(world))
    other = await an_actor(world, "bob@example.org", is_superuser=is_superuser)
    with pytest.raises(ItemNotFound):
        await GetItem(world.store)(other, item.id)
    with pytest.raises(ItemNotFound):
        await edit(world, other, item, {7})
    with pytest.raises(ItemNotFound):
        await DeleteItem(world.store.begin)(other, item.id, versions={7})
    assert await world.store.item(item.id) == item


async def test_only_a_superuser_lists_others_items(world: World) -> None:
    ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
    root = await an_actor(world, "root@example.org", is_superuser=True)
    await create(world, ada)
    listed = ListItems(world.store)

    async def total(actor: Actor, owner_id: int | None) -> int | None:
        return (await listed(actor, PageRequest(), sort=ItemSort.NEWEST, q=None, owner_id=owner_id)).total

    assert [await total(actor, ada.user.id) for actor in (ada, root)] == [1, 1]
    assert [await total(actor, None) for actor in (ada, bob, root)] == [1, 0, 0]
    with pytest.raises(NotEnoughPrivileges):
        await total(bob, ada.user.id)


async def test_a_search_finds_the_items_that_hold_each_word(world: World) -> None:
    ada = await an_actor(world)
    for title in ("Buy milk", "Buy bread", "Oat milk"):
        await create(world, ada, title)

    async def found(q: str | None) -> list[str]:
        page = await ListItems(world.store)(ada, PageRequest(), sort=ItemSort.TITLE, q=q, owner_id=None)
        return [item.title for item in page.items]

    assert await found("MILK buy") == ["Buy milk"]
    assert await found("milk") == ["Buy milk", "Oat milk"]
    assert await found("tea") == []
    assert await found(" ") == await found(None) == ["Buy bread", "Buy milk", "Oat milk"]


async def test_a_deleted_user_leaves_no_items_however_many(world: World) -> None:
    ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
    async with world.store.begin() as work:
        now = world.clock.now()
        for n in range(BATCH + 1):
            await work.items.add(Item(title=f"{n}", owner_id=ada.user.id, created_at=now, updated_at=now))
    await create(world, bob)
    await world.delete_own_account(ada, password=Password(PASSWORD))
    assert world.store.announced[-1] == UserDeleted(ada.user.id)
    await world.do_jobs()
    assert (await count(world, ada), await count(world, bob)) == (0, 1)


class TestDoingOnce:
    async def once(self, world: World, actor: Actor, fingerprint: str = "print") -> tuple[str, bool]:
        do_once = DoOnce(world.store.begin, world.store)
        attempt = Attempt(actor.user.id, "k", fingerprint)
        return await do_once(attempt, lambda also: create(world, actor, also=also), answer)

    async def test_the_first_answer_is_given_again(self, world: World) -> None:
        ada = await an_actor(world)
        assert await self.once(world, ada) == ("item 1", False)
        assert await self.once(world, ada) == ("item 1", True)
        assert await count(world, ada) == 1

    async def test_another_request_under_the_key_is_refused(self, world: World) -> None:
        ada = await an_actor(world)
        await self.once(world, ada)
        with pytest.raises(IdempotencyKeyReused):
            await self.once(world, ada, "another")

    async def test_while_it_is_under_way_others_under_the_key_are_refused_whatever_they_ask_for(
        self, world: World
    ) -> None:
        ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
        do_once = DoOnce(world.store.begin, world.store)
        comes, goes_on = asyncio.Event(), asyncio.Event()

        async def create_slowly(also: Also[Item]) -> Item:
            comes.set()
            await goes_on.wait()
            return await create(world, ada, also=also)

        async def quickly(actor: Actor, key: str, fingerprint: str) -> tuple[str, bool]:
            return await do_once(
                Attempt(actor.user.id, key, fingerprint), lambda also: create(world, actor, also=also), answer
            )

        first = asyncio.create_task(do_once(Attempt(ada.user.id, "k", "print"), create_slowly, answer))
        await comes.wait()
        for fingerprint in ("print", "another"):
            with pytest.raises(IdempotencyInProgress):
                await quickly(ada, "k", fingerprint)
        others = [await quickly(ada, "K", "print"), await quickly(bob, "k", "print")]
        goes_on.set()
        assert (await first, others) == (("item 3", False), [("item 1", False), ("item 2", False)])
        assert await quickly(ada, "k", "print") == ("item 3", True)
        with pytest.raises(IdempotencyKeyReused):
            await quickly(ada, "k", "another")

    async def test_after_a_day_the_key_is_free_once_it_was_swept(self, world: World) -> None:
        ada = await an_actor(world)
        await self.once(world, ada)
        world.clock.advance(KEPT - timedelta(seconds=1))
        await world.handlers["sweep_expired"](a_job())
        assert await self.once(world, ada) == ("item 1", True)
        world.clock.advance(timedelta(seconds=1))
        assert await self.once(world, ada) == ("item 1", True)
        await world.handlers["sweep_expired"](a_job())
        assert await world.store.kept_answer(ada.user.id, "k") is None
        assert await self.once(world, ada, "another") == ("item 2", False)

    async def by_two_processes(self, world: World, actor: Actor, second: str = "print") -> tuple[str, bool]:
        """What the later one of two gets, neither of which sees the other one before it has created its own."""
        attempt, later = Attempt(actor.user.id, "k", "print"), Attempt(actor.user.id, "k", second)

        async def create_after_the_other(also: Also[Item]) -> Item:
            one = DoOnce(world.store.begin, world.store)
            assert await one(attempt, lambda also: create(world, actor, also=also), answer) == ("item 1", False)
            return await create(world, actor, also=also)

        return await DoOnce(world.store.begin, world.store)(later, create_after_the_other, answer)

    async def test_of_two_processes_at_once_the_later_one_undoes_its_own_and_gives_the_answer_of_the_other(
        self, world: World
    ) -> None:
        ada = await an_actor(world)
        assert await self.by_two_processes(world, ada) == ("item 1", True)
        assert await count(world, ada) == 1

    async def test_of_two_processes_at_once_the_later_one_is_refused_if_it_asks_for_something_else(
        self, world: World
    ) -> None:
        ada = await an_actor(world)
        with pytest.raises(IdempotencyKeyReused):
            await self.by_two_processes(world, ada, "another")
        assert await count(world, ada) == 1

    async def test_an_answer_that_is_swept_at_the_moment_it_is_needed_can_be_asked_for_again(
        self, world: World
    ) -> None:
        ada = await an_actor(world)
        await self.once(world, ada)

        class Swept(InMemoryStore):
            async def kept_answer(self, user_id: UserId, key: str) -> None:
                return None

        do_once = DoOnce(world.store.begin, Swept(world.clock))
        with pytest.raises(IdempotencyInProgress):
            await do_once(Attempt(ada.user.id, "k", "print"), lambda also: create(world, ada, also=also), answer)
        assert await count(world, ada) == 1

    async def test_a_failure_keeps_nothing(self, world: World) -> None:
        ada = await an_actor(world)
        do_once = DoOnce(world.store.begin, world.store)
        with pytest.raises(ValueError, match="title"):
            await do_once(
                Attempt(ada.user.id, "k", "print"),
                lambda also: create(world, ada, "", also),
                answer,
            )
        done = await do_once(Attempt(ada.user.id, "k", "print"), lambda also: create(world, ada, also=also), answer)
        assert done == ("item 1", False)
