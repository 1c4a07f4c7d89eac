"""Changes are told once, in order, whatever becomes of the news of them."""

import asyncio
import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from application.changes import KEPT
from application.feed import PAGE, POLL, USERS_AT_ONCE
from application.send_queue import Ending
from domain.events import FileDeleted, ItemDeleted
from domain.items import Item, ItemId
from domain.users import User, UserId
from entrypoints.http.shown import Shown
from tests.builders import World
from tests.unit.realtime_world import Line, a_service, an_account


def items(events: list[Any]) -> list[int]:
    return [event["data"]["id"] for event in events]


def file_deleted(file_id: int, owner: User) -> FileDeleted:
    return FileDeleted(file_id, owner.id, "")


@contextmanager
def at_once() -> Iterator[None]:
    """Sooner than the next look without news would come, and before anybody could notice."""
    began = asyncio.get_running_loop().time()
    yield
    assert asyncio.get_running_loop().time() - began < 0.3


def observed(world: World, monkeypatch: pytest.MonkeyPatch, question: str, *, late: float = 0) -> list[Any]:
    """What the store is asked from now on, with what it answered: so late that it may be no longer so."""
    dialogue: list[Any] = []
    ask = getattr(world.store, question)

    async def ask_and_note(*values: Any, **named: Any) -> Any:
        answer = await ask(*values, **named)
        dialogue.append((*values, answer))
        await asyncio.sleep(late)
        return answer

    monkeypatch.setattr(world.store, question, ask_and_note)
    return dialogue


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "application.feed"]


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
        with at_once():
            await service.change(ada, 1, 2, told=one)
            for line in lines:
                assert items(await line.hears(2)) == [1, 2]


async def test_news_of_different_people_in_the_same_moment_is_told_at_once_to_each(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        process = service.process()
        lines = [await subscribed(process.connect(user)) for user in (ada, grace)]
        await asyncio.sleep(5)
        await service.change(ada, 1)
        await service.change(grace, 2)
        with at_once():
            process.realtime.changed([ada.id])
            process.realtime.changed([grace.id])
            assert [items(await line.hears()) for line in lines] == [[1], [2]]


async def test_a_change_that_no_news_came_of_is_told_at_the_next_look(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        line = await subscribed(service.process().connect(ada))
        await asyncio.sleep(5)
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


async def test_more_than_a_page_of_news_is_told_at_once_and_read_page_by_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        line = await subscribed(process.connect(ada))
        await asyncio.sleep(5)
        dialogue = observed(world, monkeypatch, "changes_after")
        with at_once():
            await service.change(ada, *range(2 * PAGE), told=process)
            assert items(await line.hears(2 * PAGE)) == list(range(2 * PAGE))
        assert max(len(page) for _, page in dialogue) == PAGE


async def test_a_subscription_is_told_of_its_own_channel_alone(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.commit(ItemDeleted(7, ada.id), file_deleted(7, ada), ItemDeleted(8, ada.id), file_deleted(8, ada))
        of_items, of_files = process.connect(ada), process.connect(ada)
        await of_items.conversation.subscribe("items", "1")
        await of_files.conversation.subscribe("files", "2")
        await asyncio.sleep(5)
        await service.commit(file_deleted(9, ada), ItemDeleted(9, ada.id), told=process)
        assert await of_items.waiting() == [
            {"event": "subscribed", "channel": "items"},
            {"event": "item.deleted", "channel": "items", "id": f"{3:019}", "data": {"id": 8}},
            {"event": "item.deleted", "channel": "items", "id": f"{6:019}", "data": {"id": 9}},
        ]
        assert await of_files.waiting() == [
            {"event": "subscribed", "channel": "files"},
            {"event": "file.deleted", "channel": "files", "id": f"{4:019}", "data": {"id": 8}},
            {"event": "file.deleted", "channel": "files", "id": f"{5:019}", "data": {"id": 9}},
        ]


async def test_subscribing_again_changes_nothing_unless_it_says_after_what(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, 1, 2, 3)
        line = await subscribed(process.connect(ada), "1")
        assert items(await line.waiting()) == [2, 3]
        await subscribed(line)
        assert await line.waiting() == []
        await subscribed(line, "2")
        assert items(await line.waiting()) == [3]
        await service.change(ada, 4, told=process)
        assert items(await line.waiting()) == [4]


async def test_those_who_caught_up_are_looked_for_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await an_account(world)
    people = [replace(ada, id=UserId(number)) for number in range(2 * USERS_AT_ONCE + 1)]
    async with a_service(world) as service:
        process = service.process()
        for user in people:
            await subscribed(process.connect(user, session_id=str(ada.id)))
        await asyncio.sleep(0.1)
        together = observed(world, monkeypatch, "changes_after")
        process.realtime.changed([user.id for user in people])
        await asyncio.sleep(0.1)
        assert [len(positions) for positions, _ in together] == [USERS_AT_ONCE, USERS_AT_ONCE, 1]


@pytest.mark.parametrize("after", [None, "1"])
async def test_whoever_caught_up_asks_no_more_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, after: str | None
) -> None:
    """However much happened in other channels since what was told last in this one."""
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.commit(file_deleted(1, ada), ItemDeleted(2, ada.id))
        await subscribed(process.connect(ada))
        await asyncio.sleep(5)
        line = process.connect(ada)
        await line.conversation.subscribe("files", after)
        reading = asyncio.create_task(line.hears(2))
        await asyncio.sleep(5)
        alone = observed(world, monkeypatch, "changes_in")
        await service.commit(file_deleted(3, ada), told=process)
        assert (await reading)[1]["data"] == {"id": 3}
        assert alone == []


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
async def test_what_is_committed_while_a_page_is_on_its_way_is_told_once_and_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.commit(file_deleted(1, ada))
        for _ in range(others):
            await subscribed(process.connect(ada))
        await asyncio.sleep(5)
        observed(world, monkeypatch, "changes_in", late=0.1)
        line = process.connect(ada)
        await line.conversation.subscribe("files", "1")
        await asyncio.sleep(0.05)
        with at_once():
            await service.commit(file_deleted(2, ada), ItemDeleted(3, ada.id), told=process)
            assert (await line.hears(2))[1]["data"] == {"id": 2}
        await asyncio.sleep(5)
        with at_once():
            await service.commit(file_deleted(4, ada), told=process)
            assert items(await line.hears()) == [4]
        assert await line.waiting() == []


def test_what_waits_for_one_who_catches_up_and_does_not_read_is_small_however_large_the_changes_are(
    world: World,
) -> None:
    times: Any = {"created_at": world.clock.now(), "updated_at": world.clock.now()}
    item = Item(id=ItemId(1), owner_id=UserId(1), title="🎉" * 255, description="🎉" * 10_000, **times)
    assert PAGE * sys.getsizeof(Shown("/api/v1")(item)) < 2**22


def said_once(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether the log tells when the outage began and when it was over, and nothing else."""
    return [(record.getMessage(), record.exc_info) for record in logged(caplog)] == [
        ("changes can't be read; trying again until it works", None),
        ("over: changes can't be read", None),
    ]


async def test_a_database_that_is_away_makes_it_late(world: World, caplog: pytest.LogCaptureFixture) -> None:
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
    assert said_once(caplog)


async def test_a_database_that_is_away_while_all_catch_up_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, *range(2 * PAGE + 7))
        line = await subscribed(process.connect(ada), "1")
        await asyncio.sleep(1)
        world.store.available = False
        reading = asyncio.create_task(line.hears(2 * PAGE + 6))
        await asyncio.sleep(30)
        world.store.available = True
        assert items(await reading) == list(range(1, 2 * PAGE + 7))
    assert said_once(caplog)


@pytest.mark.parametrize("question", ["changes_in", "changes_after"])
async def test_nobody_is_forgotten_whatever_fails_and_the_log_shows_what_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, question: str
) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, 1, 2)
        with monkeypatch.context() as broken:
            broken.setattr(world.store, question, lambda *_, **__: 1 / 0)
            line = await subscribed(process.connect(ada), "1")
            await asyncio.sleep(5)
            await service.change(ada, 3, told=process)
            await asyncio.sleep(5)
        assert items(await line.hears(2)) == [2, 3]
    shown = logged(caplog)[0].exc_info
    assert shown is not None and shown[0] is ZeroDivisionError


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
        await must_be_reset(process.connect(ada), "1")


async def must_be_reset(line: Line, after: str) -> None:
    await subscribed(line, after)
    assert await line.waiting() == [{"event": "reset", "channel": "items"}]


@pytest.mark.parametrize("after", ["", "2", "-1", "1.0", "x", "¹", "\u0661", f"{1:020}", str(2**63), "9" * 5000])
async def test_after_what_is_no_change_in_that_channel_one_is_reset(world: World, after: str) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.commit(ItemDeleted(1, ada.id), file_deleted(2, ada))
        await must_be_reset(process.connect(ada), after)


async def test_who_unsubscribes_while_catching_up_hears_nothing_more(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await service.change(ada, 1, 2)
        line = await subscribed(process.connect(ada), "1")
        line.conversation.unsubscribe("items")
        assert await line.waiting() == [{"event": "unsubscribed", "channel": "items"}]
        line.hang_up()


async def test_who_unsubscribes_hears_nothing_more_while_others_of_the_same_person_do(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        leaves, stays = [await subscribed(process.connect(ada)) for _ in range(2)]
        await asyncio.sleep(5)
        leaves.conversation.unsubscribe("items")
        await service.change(ada, 1, told=process)
        assert items(await stays.waiting()) == [1]
        assert await leaves.waiting() == [{"event": "unsubscribed", "channel": "items"}]


async def test_who_leaves_while_a_look_is_under_way_makes_nobody_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        process = service.process()
        leaves, stays = [await subscribed(process.connect(user)) for user in (ada, grace)]
        await asyncio.sleep(5)
        observed(world, monkeypatch, "changes_after", late=0.1)
        with at_once():
            await service.commit(ItemDeleted(1, ada.id), ItemDeleted(2, grace.id), told=process)
            await asyncio.sleep(0.05)
            leaves.hang_up()
            assert items(await stays.hears()) == [2]


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


@example(str(2**63 - 1))
@example(str(2**63))
@example("9" * 19)
@given(st.text(max_size=30))
def test_any_text_may_be_asked_for(text: str) -> None:
    from application.feed import _id_in

    number = _id_in(text)
    assert number is None or 0 <= number < 2**63
