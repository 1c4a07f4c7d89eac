"""The log of changes: in the order of the commits for each user, and no gap that somebody could step over."""

import asyncio
from datetime import timedelta
from operator import attrgetter

import pytest
from sqlalchemy import text

from adapters.persistence.changes import ADD, changes_after, values_of
from adapters.persistence.database import Database
from adapters.persistence.statements import Statement
from application.ports.persistence import Work
from application.ports.realtime import Change, NewChange
from domain.events import ItemCreated, ItemDeleted, UserPinged
from domain.items import Item, ItemId
from domain.users import UserId
from tests.contracts.stores import Store
from tests.fakes import SettableClock

TURNS = Statement(
    text(
        "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE locktype = 'advisory' AND datname = current_database()"
    )
)
"""A row for each turn that somebody has or waits for."""
KEPT = timedelta(hours=24)


async def written(store: Store, *item_ids: int, user_id: int = 1) -> list[Change]:
    """Changes of that user, one for each of these items, in one transaction; what there is of them now."""
    async with store.begin() as work:
        for item_id in item_ids:
            work.announce(ItemDeleted(item_id, user_id))
    return list(await store.reads.changes_after({user_id: 0}, limit=100))


def told(changes: list[Change]) -> list[str]:
    return [change.data for change in changes]


async def test_what_is_announced_is_shown_to_the_owner(store: Store) -> None:
    now = store.clock.now()
    item = Item(id=ItemId(7), title="Buy milk", owner_id=UserId(1), created_at=now, updated_at=now)
    async with store.begin() as work:
        work.announce(ItemCreated(item))
        work.announce(UserPinged(1, "2026-01-01T00:00:00Z"))
    (change,) = await store.reads.changes_after({1: 0}, limit=10)
    assert change == Change(change.id, 1, "items", "item.created", '{"id": 7}')


async def test_what_was_undone_is_not_shown(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.begin() as work:
            work.announce(ItemDeleted(1, 1))
            raise ZeroDivisionError
    assert await store.reads.last_change(1) == 0


async def test_changes_are_read_from_where_one_is_lowest_first(store: Store) -> None:
    mine = await written(store, 1, 2)
    await written(store, 3, user_id=2)
    mine = await written(store, 4)
    assert told(mine) == ['{"id": 1}', '{"id": 2}', '{"id": 4}']
    assert [change.id for change in mine] == sorted({change.id for change in mine})
    beyond = await store.reads.changes_after({1: mine[1].id, 2: 0, 3: 0}, limit=10)
    assert sorted(told(list(beyond))) == ['{"id": 3}', '{"id": 4}']
    some = await store.reads.changes_after({1: 0, 2: 0}, limit=2)
    assert sorted(told(list(some))) == ['{"id": 1}', '{"id": 2}', '{"id": 3}']
    assert await store.reads.changes_after({}, limit=3) == []


async def test_one_channel_is_read_from_where_one_is(store: Store) -> None:
    first, second = await written(store, 1, 2)
    await written(store, 3, user_id=2)
    assert list(await store.reads.changes_in(1, "items", after=0, limit=1)) == [first]
    assert list(await store.reads.changes_in(1, "items", after=first.id, limit=10)) == [second]
    assert await store.reads.changes_in(1, "files", after=0, limit=10) == []
    assert await store.reads.last_change(1) == second.id


async def test_a_change_is_known_to_its_owner_in_its_channel_for_a_while(store: Store) -> None:
    (change,) = await written(store, 1)
    assert await store.reads.has_change(1, "items", change.id, within=KEPT)
    assert not await store.reads.has_change(2, "items", change.id, within=KEPT)
    assert not await store.reads.has_change(1, "files", change.id, within=KEPT)
    assert not await store.reads.has_change(1, "items", change.id + 1, within=KEPT)
    await store.let_pass(KEPT)
    assert not await store.reads.has_change(1, "items", change.id, within=KEPT)


async def test_old_changes_are_swept_and_their_ids_not_given_again(store: Store) -> None:
    *_, last = await written(store, 1, 2, 3)
    await store.let_pass(timedelta(hours=1))
    async with store.begin() as work:
        assert await work.changes.sweep(timedelta(hours=2), limit=10) == 0
        assert await work.changes.sweep(timedelta(hours=1), limit=2) == 2
        assert await work.changes.sweep(timedelta(hours=1), limit=2) == 1
    (newer,) = await written(store, 4)
    assert newer.id > last.id


async def test_the_changes_of_one_user_are_removed_in_batches(store: Store) -> None:
    await written(store, 1, 2, 3)
    await written(store, 4, user_id=2)

    async def remove(work: Work) -> int:
        return await work.changes.delete_of(1, limit=2)

    removed = []
    for _ in range(3):
        async with store.begin() as work:
            removed.append(await remove(work))
    assert removed == [2, 1, 0]
    assert await store.reads.last_change(1) == 0
    assert await store.reads.last_change(2) > 0


async def test_sessions_that_ended_are_not_live(store: Store, clock: SettableClock) -> None:
    ada, idle = await store.has(), await store.has("idle@example.org", is_active=False)
    await store.has_session(ada, "live")
    await store.has_session(ada, "over", expires_at=clock.now())
    await store.has_session(idle, "idle")
    assert set(await store.reads.live_sessions(["live", "over", "idle", "none", "it's"])) == {"live"}
    assert set(await store.reads.live_sessions([])) == set()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_an_id_is_drawn_only_once_it_is_ones_turn(database: Database) -> None:
    """While one transaction has written and is still open, another one of this user waits, and draws its id last."""
    may_commit = asyncio.Event()

    async def write(user_id: int, data: str) -> None:
        async with database.transaction() as transaction:
            await transaction.run(ADD, **values_of(NewChange(user_id, "items", "item.deleted", data)))
            if data == "first":
                await may_commit.wait()

    async def waiting(count: int) -> None:
        async with asyncio.timeout(60):
            while len(await database.all(TURNS)) < count:  # noqa: ASYNC110 - they wait in the database
                await asyncio.sleep(0)

    first = asyncio.create_task(write(1, "first"))
    await waiting(1)
    second = asyncio.create_task(write(1, "second"))
    await waiting(2)
    await write(2, "of another user")
    may_commit.set()
    await asyncio.gather(first, second)
    changes = sorted(await changes_after(database, {1: 0, 2: 0}, limit=10), key=attrgetter("id"))
    assert [change.data for change in changes] == ["first", "of another user", "second"]


async def test_readers_never_step_over_a_change_that_commits_late(sql_store: Store) -> None:
    """Ten writers of one user's, each transaction with a pause of its own, and one who reads on from what it has."""
    total, writers = 200, 10
    seen: list[str] = []

    async def write(number: int) -> None:
        for n in range(total // writers):
            async with sql_store.begin() as work:
                work.announce(ItemDeleted(number * 1000 + n, 1))
                await work.items.delete_owned_by(99, limit=1)

    async def read() -> None:
        position = 0
        async with asyncio.timeout(60):
            while len(seen) < total:
                for change in await sql_store.reads.changes_after({1: position}, limit=7):
                    position = change.id
                    seen.append(change.data)

    await asyncio.gather(read(), *(write(number) for number in range(writers)))
    assert sorted(seen) == sorted({f'{{"id": {number * 1000 + n}}}' for number in range(writers) for n in range(20)})
