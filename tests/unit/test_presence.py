"""Who is in a room, over processes that come, go, die and lose each other."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from application.presence import HEARTBEAT, SILENCE
from domain.users import User
from tests.builders import World
from tests.unit.realtime_world import Line, ProcessInMemory, Service, a_service, an_account
from tests.unit.virtual_time import VirtualTimeLoop

KITCHEN = "room:kitchen"


async def in_room(process: ProcessInMemory, user: User) -> Line:
    line = process.connect(user)
    await line.conversation.subscribe(KITCHEN, None)
    assert await line.hears() == [{"event": "subscribed", "channel": KITCHEN}]
    return line


async def ids(line: Line) -> list[int]:
    await line.conversation.ask_who_is_in(KITCHEN)
    return [user["id"] for user in (await line.waiting())[-1]["users"]]


def told(events: list[Any]) -> list[tuple[str, int]]:
    return [(event["event"], event["user"]["id"]) for event in events]


def kill(service: Service, process: ProcessInMemory) -> None:
    """Nothing is heard of it any more."""
    for task in process.realtime._running:
        task.cancel()


@contextmanager
def at_once() -> Iterator[None]:
    """Nothing waits for anything."""
    began = asyncio.get_running_loop().time()
    yield
    assert asyncio.get_running_loop().time() - began < 0.01


async def test_a_person_is_there_once_through_however_many_processes(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        hers = await in_room(one, ada)
        lines = [await in_room(process, grace) for process in (two, one, two)]
        assert told(await hers.waiting()) == [("presence.joined", grace.id)]
        assert await ids(hers) == await ids(lines[0]) == [ada.id, grace.id]
        for line in lines[:2]:
            line.hang_up()
        assert await hers.waiting() == []
        lines[2].hang_up()
        assert told(await hers.waiting()) == [("presence.left", grace.id)]
        assert await ids(hers) == [ada.id]


async def test_people_see_each_others_names(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org", full_name="Grace Hopper")
    seen = [{"id": ada.id, "full_name": None}, {"id": grace.id, "full_name": "Grace Hopper"}]
    async with a_service(world) as service:
        hers = await in_room(service.process(), ada)
        line = await in_room(service.process(), grace)
        await line.conversation.ask_who_is_in(KITCHEN)
        line.hang_up()
        assert await line.waiting() == [{"event": "presence", "channel": KITCHEN, "users": seen}]
        assert await hers.waiting() == [
            {"event": "presence.joined", "channel": KITCHEN, "user": seen[1]},
            {"event": "presence.left", "channel": KITCHEN, "user": seen[1]},
        ]


async def test_nobody_is_told_of_oneself(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        lines = [await in_room(process, ada) for process in (one, one, two)]
        for line in lines:
            line.hang_up()
        assert [await line.waiting() for line in lines] == [[], [], []]


async def test_a_process_that_comes_later_knows_who_is_there(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        await in_room(service.process(), ada)
        late = await in_room(service.process(), grace)
        assert await ids(late) == [ada.id, grace.id]


async def test_the_people_of_a_process_that_died_are_gone_within_half_a_minute(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        hers = await in_room(one, ada)
        await in_room(two, grace)
        await hers.hears()
        kill(service, two)
        began = asyncio.get_running_loop().time()
        assert told(await hers.hears()) == [("presence.left", grace.id)]
        assert SILENCE.total_seconds() - HEARTBEAT.total_seconds() <= asyncio.get_running_loop().time() - began < 25
        assert await ids(hers) == [ada.id]


async def test_a_process_that_stops_takes_its_people_at_once(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        hers = await in_room(one, ada)
        await in_room(two, grace)
        await hers.hears()
        await two.realtime.close()
        began = asyncio.get_running_loop().time()
        assert told(await hers.hears()) == [("presence.left", grace.id)]
        assert asyncio.get_running_loop().time() - began < 1


async def test_while_nobody_can_be_heard_nobody_leaves(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        hers = await in_room(one, ada)
        await in_room(two, grace)
        await hers.hears()
        with service.deaf(one, two):
            one.realtime.cut_off()
            two.realtime.cut_off()
            await asyncio.sleep(600)
        one.realtime.linked()
        two.realtime.linked()
        assert await hers.waiting() == []
        assert await ids(hers) == [ada.id, grace.id]


async def test_one_who_stood_still_takes_nobody_for_gone_but_who_then_is(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        hers = await in_room(one, ada)
        await in_room(two, grace)
        await hers.hears()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.stand_still(600)
        await asyncio.sleep(60)
        assert await hers.waiting() == []
        assert await ids(hers) == [ada.id, grace.id]
        kill(service, two)
        assert told(await hers.hears()) == [("presence.left", grace.id)]


async def test_while_nothing_is_lost_each_coming_and_going_takes_one_message(world: World) -> None:
    ada = await an_account(world)
    others = [await an_account(world, f"user{n}@example.org") for n in range(3)]
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        hers = await in_room(one, ada)
        await in_room(two, ada)
        overheard = service.overheard()
        with at_once():
            lines = [await in_room(two, other) for other in others]
            assert told(await hers.hears(3)) == [("presence.joined", other.id) for other in others]
            for line in lines:
                line.hang_up()
            assert told(await hers.hears(3)) == [("presence.left", other.id) for other in others]
        await asyncio.sleep(60)
        kinds = [message["kind"] for message in overheard]
        assert kinds[:6] == ["entered"] * 3 + ["went"] * 3
        assert set(kinds[6:]) == {"alive"}


@pytest.mark.parametrize("later", [1, 3])
async def test_who_missed_something_asks_the_one_who_said_it_once_as_soon_as_the_next_is_heard(
    world: World, later: int
) -> None:
    ada = await an_account(world)
    others = [await an_account(world, f"user{n}@example.org") for n in range(1 + later)]
    async with a_service(world) as service:
        one, two, three = service.process(), service.process(), service.process()
        hers = await in_room(one, ada)
        for process in (two, three):
            await in_room(process, ada)
        overheard = service.overheard()
        with at_once():
            with service.deaf(one):
                await in_room(two, others[0])
            for other in others[1:]:
                await in_room(two, other)
            assert told(await hers.hears(1 + later)) == [("presence.joined", other.id) for other in others]
        assert [message["kind"] for message in overheard] == ["entered"] * (1 + later) + ["who", "whole"]


async def test_one_that_was_not_heard_when_it_began_is_asked_as_soon_as_it_is(world: World) -> None:
    ada = await an_account(world)
    others = [await an_account(world, f"user{n}@example.org") for n in range(2)]
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        hers = await in_room(one, ada)
        with service.deaf(one):
            await in_room(two, others[0])
        with at_once():
            await in_room(two, others[1])
            assert told(await hers.hears(2)) == [("presence.joined", other.id) for other in others]


async def test_what_was_missed_is_learned_at_the_next_sign_of_life_if_nothing_else_is_said(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        one, two, three = service.process(), service.process(), service.process()
        hers = await in_room(one, ada)
        line = await in_room(two, grace)
        await in_room(three, ada)
        assert told(await hers.hears()) == [("presence.joined", grace.id)]
        overheard = service.overheard()
        with service.deaf(one):
            line.hang_up()
        async with asyncio.timeout(HEARTBEAT.total_seconds()):
            assert told(await hers.hears()) == [("presence.left", grace.id)]
        assert [message["kind"] for message in overheard if message["kind"] != "alive"] == ["went", "who", "whole"]


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_lost_in_the_end_all_agree_with_what_is_so(world: World, seed: int) -> None:
    """People come and go at three processes whose messages to each other are lost as often as not."""
    chance = random.Random(seed)
    people = [await an_account(world, f"user{n}@example.org") for n in range(4)]
    watcher = await an_account(world, "watcher@example.org")
    async with a_service(world) as service:
        processes = [service.process() for _ in range(3)]
        watching = [await in_room(process, watcher) for process in processes]
        await asyncio.sleep(1)
        lines: list[Line] = []
        listeners = dict(service.medium.listeners)
        for _ in range(60):
            service.medium.listeners.clear()
            service.medium.listeners.update({one: at for one, at in listeners.items() if chance.random() < 0.6})
            if lines and chance.random() < 0.45:
                lines.pop(chance.randrange(len(lines))).hang_up()
            else:
                lines.append(await in_room(chance.choice(processes), chance.choice(people)))
            await asyncio.sleep(chance.choice([0, 0.1]))
        service.medium.listeners.update(listeners)
        await asyncio.sleep(30)
        present = {watcher.id} | {line.connection.actor.user.id for line in lines}
        for line in watching:
            there: set[int] = set()
            for event, user_id in told(await line.waiting()):
                assert (event == "presence.joined") == (user_id not in there)  # never twice the same
                there ^= {user_id}
            assert there == present - {watcher.id}
            assert await ids(line) == sorted(present)


async def test_what_another_process_says_that_makes_no_sense_is_passed_over(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        line = await in_room(process, ada)
        for nonsense in ("", "[]", "7", "{}", '{"kind": "said"}', '{"kind": "whole", "by": 1}', '{"kind": "news"}'):
            process.realtime.heard(nonsense)
        assert await ids(line) == [ada.id]


async def test_one_who_says_all_that_it_has_in_words_that_make_no_sense_is_asked_again(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        await in_room(process, ada)
        overheard = service.overheard()
        for words in ('{"kind": "whole", "by": "x", "number": 5}', '{"kind": "alive", "by": "x", "number": 5}'):
            process.realtime.heard(words)
        await asyncio.sleep(1)
        assert [message["of"] for message in overheard if message["kind"] == "who"] == ["x"]
