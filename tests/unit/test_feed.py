"""Changes are told once, in order, whatever becomes of the news of them."""

import asyncio
import random
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.changes import KEPT
from application.feed import PAGE, POLL
from application.send_queue import Ending
from domain.items import Item, ItemId
from domain.users import UserId
from entrypoints.http.shown import Shown
from tests.builders import World
from tests.unit.realtime_world import Line, a_service, an_account


def items(events: list[Any]) -> list[int]:
    return [event["data"]["id"] for event in events]


async def subscribed(line: Line, after: str | None = None) -> Line:
    await line.conversation.subscribe("items", after)
    assert (await line.hears())[0] == {"event": "subscribed", "channel": "items"}
    return line


async def test_a_change_is_told_at_once_in_the_process_that_made_it_and_in_others(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        lines = [await subscribed(process.connect(ada)) for process in (one, two)]
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        await service.change(ada, 1, 2, told=one)
        for line in lines:
            assert items(await line.hears(2)) == [1, 2]
        assert asyncio.get_running_loop().time() - began < 0.01


async def test_a_change_that_no_news_came_of_is_told_at_the_next_look(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        line = await subscribed(service.process().connect(ada))
        began = asyncio.get_running_loop().time()
        await service.change(ada, 1)
        assert items(await line.hears()) == [1]
        assert asyncio.get_running_loop().time() - began <= POLL.total_seconds()


async def test_more_than_a_page_that_was_missed_is_told_at_the_readers_own_pace(world: World) -> None:
    ada = await an_account(world)
    count = 5 * PAGE + 7
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, *range(count))
        line = await subscribed(process.connect(ada), "1")
        await asyncio.sleep(60)
        assert len(line.connection.send_queue) == PAGE
        await service.change(ada, count, told=process)
        assert items(await line.hears(count)) == list(range(1, count + 1))
        assert await line.waiting() == []


def test_what_waits_for_one_who_catches_up_and_does_not_read_is_small_however_large_the_changes_are(
    world: World,
) -> None:
    times: Any = {"created_at": world.clock.now(), "updated_at": world.clock.now()}
    item = Item(id=ItemId(1), owner_id=UserId(1), title="🎉" * 255, description="🎉" * 10_000, **times)
    assert PAGE * sys.getsizeof(Shown("/api/v1")(item)) < 2**22


async def test_a_database_that_is_away_makes_it_late(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, 1, 2)
        stays = await subscribed(process.connect(ada))
        returns = await subscribed(process.connect(ada), "1")
        await service.change(ada, 3, told=process)
        world.store.available = False
        await asyncio.sleep(30)
        world.store.available = True
        assert items(await stays.hears()) == [3]
        assert items(await returns.hears(2)) == [2, 3]


async def test_one_who_catches_up_is_not_forgotten_whatever_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, 1, 2)
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "changes_in", lambda *_, **__: 1 / 0)
            line = await subscribed(process.connect(ada), "1")
            await asyncio.sleep(5)
        assert items(await line.hears()) == [2]


async def test_one_who_does_not_read_is_ended_and_the_others_are_told(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        deaf, line = await subscribed(process.connect(ada)), await subscribed(process.connect(ada))
        for number in range(1200):
            await service.change(ada, number, told=process)
            assert items(await line.hears()) == [number]
        assert deaf.connection.send_queue.ending is Ending.TOO_SLOW


async def test_after_a_change_that_is_no_longer_kept_one_is_reset(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, 1, 2)
        world.store.ahead += KEPT - timedelta(seconds=1)
        assert items(await (await subscribed(process.connect(ada), "1")).hears()) == [2]
        world.store.ahead += timedelta(seconds=1)
        line = process.connect(ada)
        await line.conversation.subscribe("items", "1")
        assert [event["event"] for event in await line.hears(2)] == ["subscribed", "reset"]
        assert await line.waiting() == []


async def test_who_unsubscribes_while_catching_up_hears_nothing_more(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, 1, 2)
        line = await subscribed(process.connect(ada), "1")
        line.conversation.unsubscribe("items")
        assert [event["event"] for event in await line.waiting()] == ["unsubscribed"]
        line.hang_up()


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_comes_and_goes_is_told_exactly_what_was_committed(world: World, seed: int) -> None:
    """Two people's changes, news that is lost as often as not, readers at two processes that leave at any moment."""
    chance = random.Random(seed)
    people = [await an_account(world, "ada@example.org"), await an_account(world, "grace@example.org")]
    total = 300
    committed: dict[int, list[int]] = {user.id: [] for user in people}
    async with a_service(world) as service:
        processes = [service.process(), service.process()]

        async def write() -> None:
            for number in range(total):
                user = chance.choice(people)
                committed[user.id].append(number)
                await service.change(user, number, told=chance.choice([*processes, None]))
                await asyncio.sleep(chance.choice([0, 0, 0.1]))

        async def read(number: int, told: list[Any]) -> None:
            user = people[number % 2]
            while not done.is_set() or len(told) < len(committed[user.id]):
                line = await subscribed(chance.choice(processes).connect(user), told[-1]["id"] if told else "0")
                if not told:
                    assert (await line.hears())[0]["event"] == "reset"
                for _ in range(chance.randint(1, 50)):
                    try:
                        async with asyncio.timeout(5):
                            told += await line.hears()
                    except TimeoutError:
                        break
                line.hang_up()
                await asyncio.sleep(chance.choice([0, 0.3]))

        done = asyncio.Event()
        for user in people:  # so that nobody begins at nothing
            await service.change(user, -1)
        told: list[list[Any]] = [[] for _ in range(6)]
        reading = [asyncio.create_task(read(number, told[number])) for number in range(6)]
        await asyncio.sleep(0.5)
        await write()
        done.set()
        await asyncio.gather(*reading)
    for number, events in enumerate(told):
        assert items(events) == committed[people[number % 2].id]


@given(st.text(max_size=30))
def test_any_text_may_be_asked_for(text: str) -> None:
    from application.feed import _id_in

    number = _id_in(text)
    assert number is None or 0 <= number < 2**63
