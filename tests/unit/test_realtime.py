"""Who may be connected, for how long, and to what."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

import pytest

from adapters.realtime.memory import MemoryBroadcaster
from application.conversations import MOST_CHANNELS
from application.correlation import request_id
from application.realtime import LOOK_EVERY, OpenConnection
from application.send_queue import Ending, SendQueue
from domain.channels import ChannelNotAllowed, NotSubscribed, TooManyChannels
from domain.errors import Unavailable
from domain.sessions import InvalidAccessToken
from domain.users import User
from tests.builders import World
from tests.unit.realtime_world import a_service, an_account

KITCHEN = "room:kitchen"
PROMISED = 5.0
"""Seconds within which one who may no longer be connected isn't."""


async def test_a_token_opens_a_connection_for_as_long_as_it_lasts(world: World) -> None:
    ada = await world.has()
    pair = await world.signed_in(ada)
    connection = await OpenConnection(world.authenticate, world.tokens)(pair.access_token)
    assert connection.actor.user.id == ada.id
    assert connection.ends_at == world.clock.now().timestamp() + pair.expires_in
    with pytest.raises(InvalidAccessToken):
        await OpenConnection(world.authenticate, world.tokens)("nonsense")


async def test_the_end_of_the_token_ends_the_connection(world: World) -> None:
    actor = await world.actor(await world.has())
    async with a_service(world) as service:
        process = service.process()
        ends, stays = (process.connect(actor.user, session_id=actor.session_id, ends_in=n) for n in (60, 61))
        world.clock.advance(timedelta(seconds=60))
        await asyncio.sleep(PROMISED)
        assert (ends.connection.send_queue.ending, stays.connection.send_queue.ending) == (Ending.NOT_ALLOWED, None)
        world.store.available = False
        world.clock.advance(timedelta(seconds=1))
        await asyncio.sleep(PROMISED)
        assert stays.connection.send_queue.ending is Ending.NOT_ALLOWED


async def test_tokens_end_while_the_database_gives_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        line = service.process().connect(ada, ends_in=60)
        monkeypatch.setattr(world.store, "live_sessions", lambda _: asyncio.Event().wait())
        await asyncio.sleep(PROMISED)
        world.clock.advance(timedelta(seconds=60))
        await asyncio.sleep(PROMISED)
        assert line.connection.send_queue.ending is Ending.NOT_ALLOWED


async def test_what_outlasts_a_connection_is_no_part_of_its_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await an_account(world)
    looking_under = set()

    async def live_sessions(_: Collection[str]) -> set[str]:
        looking_under.add(request_id.get())
        return {str(ada.id)}

    monkeypatch.setattr(world.store, "live_sessions", live_sessions)
    async with a_service(world) as service:
        token = request_id.set("the first connection")
        service.process().connect(ada)
        request_id.reset(token)
        await asyncio.sleep(PROMISED)
    assert looking_under == {None}


@pytest.mark.parametrize("what", ["revoked", "deactivated", "deleted"])
async def test_one_who_may_no_longer_be_here_is_ended_in_every_process(world: World, what: str) -> None:
    ada, grace = await world.has(), await world.has("grace@example.org")
    actors = [await world.actor(ada), await world.actor(grace)]
    async with a_service(world) as service:
        processes = [service.process(), service.process()]
        lines = [
            [process.connect(actor.user, session_id=actor.session_id) for actor in actors] for process in processes
        ]
        await asyncio.sleep(30)
        async with world.store.begin() as work:
            if what == "revoked":
                await work.sessions.revoke_all(ada.id)
            elif what == "deleted":
                await work.users.delete(ada.id)
            else:
                user: User = await work.users.get(ada.id)
                user.is_active = False
                await work.users.save(user)
        await asyncio.sleep(PROMISED)
        for hers, other in lines:
            assert (hers.connection.send_queue.ending, other.connection.send_queue.ending) == (Ending.NOT_ALLOWED, None)


async def test_one_question_is_asked_of_the_database_for_a_thousand_sessions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await an_account(world)
    asked: list[Collection[str]] = []

    async def live_sessions(session_ids: Collection[str]) -> Collection[str]:
        asked.append(session_ids)
        return {session_id for session_id in session_ids if not session_id.startswith("over")}

    monkeypatch.setattr(world.store, "live_sessions", live_sessions)
    async with a_service(world) as service:
        process = service.process()
        names = [f"{'over' if number % 2 else 'live'} {number}" for number in range(1200)]
        lines = [process.connect(ada, session_id=name) for name in names for _ in range(2)]
        await asyncio.sleep(1.5 * LOOK_EVERY.total_seconds())
        assert [len(session_ids) for session_ids in asked] == [1000, 200]
        assert {session_id for session_ids in asked for session_id in session_ids} == set(names)
        assert [line.connection.send_queue.ending for line in lines] == [None, None, *[Ending.NOT_ALLOWED] * 2] * 600


async def test_for_one_who_has_hung_up_the_database_is_not_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = await an_account(world)
    asked: list[Collection[str]] = []

    async def live_sessions(session_ids: Collection[str]) -> Collection[str]:
        asked.append(session_ids)
        return session_ids

    monkeypatch.setattr(world.store, "live_sessions", live_sessions)
    async with a_service(world) as service:
        process = service.process()
        lines = [process.connect(ada, session_id=name) for name in ("goes", "stays")]
        lines[0].hang_up()
        await asyncio.sleep(1.5 * LOOK_EVERY.total_seconds())
        assert asked == [["stays"]]


@pytest.mark.parametrize("error", [Unavailable(), ZeroDivisionError()], ids=repr)
async def test_while_sessions_can_not_be_looked_at_nobody_is_ended_for_that(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    ada = await an_account(world)

    async def live_sessions(_: Collection[str]) -> Collection[str]:
        raise error

    async with a_service(world) as service:
        process = service.process()
        stays, over = process.connect(ada), process.connect(ada, session_id="over")
        with monkeypatch.context() as broken:
            broken.setattr(world.store, "live_sessions", live_sessions)
            await asyncio.sleep(60)
            assert [line.connection.send_queue.ending for line in (stays, over)] == [None, None]
        await asyncio.sleep(PROMISED)
        assert [line.connection.send_queue.ending for line in (stays, over)] == [None, Ending.NOT_ALLOWED]
    what = "sessions can't be looked at"
    assert caplog.messages == [f"{what}; trying again until it works", f"over: {what}"]
    assert bool(caplog.records[0].exc_info) == (not isinstance(error, Unavailable))


async def test_while_the_others_can_not_be_reached_a_room_is_entered_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await an_account(world)
    monkeypatch.setattr(MemoryBroadcaster, "listen", lambda *_: asyncio.Event().wait())
    async with a_service(world) as service:
        line = service.process().connect(ada)
        async with asyncio.timeout(PROMISED):
            await line.conversation.subscribe(KITCHEN, None)
        assert await line.waiting() == [{"event": "subscribed", "channel": KITCHEN}]


async def test_once_it_is_closed_nothing_runs_and_nobody_waits(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        process = service.process()
        entering = asyncio.create_task(process.connect(ada).conversation.subscribe(KITCHEN, None))
        await asyncio.sleep(0)
        assert not entering.done()
        await process.realtime.close()
        assert asyncio.all_tasks() <= {asyncio.current_task(), entering}
        await entering


async def test_a_connection_has_a_bounded_number_of_channels(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        conversation = service.process().connect(ada).conversation
        for number in range(MOST_CHANNELS - 1):
            await conversation.subscribe(f"room:{number}", None)
        await conversation.subscribe("items", None)
        for channel in ("room:one-more", "items-too"):
            with pytest.raises((TooManyChannels, ChannelNotAllowed)):
                await conversation.subscribe(channel, None)
        await conversation.subscribe("room:1", None)
        conversation.unsubscribe("room:1")
        await conversation.subscribe("room:one-more", None)


@pytest.mark.parametrize(
    "channel", ["", "room", "room:", "room: ", "room:a\n", "room:\u2028a", "room:" + "x" * 101, "users", "Items"]
)
async def test_a_channel_that_is_none_can_not_be_used(world: World, channel: str) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        conversation = service.process().connect(ada).conversation
        with pytest.raises(ChannelNotAllowed):
            await conversation.subscribe(channel, None)
        with pytest.raises(ChannelNotAllowed):
            conversation.unsubscribe(channel)
        with pytest.raises(ChannelNotAllowed):
            conversation.publish(channel, "1")


@pytest.mark.parametrize("name", ["x" * 100, "🎉" * 100, "👩\u200d👩\u200d👧", "نمی\u200cشود", " a b "])
async def test_any_name_in_one_line_is_a_rooms(world: World, name: str) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        line = service.process().connect(ada)
        await line.conversation.subscribe(f"room:{name}", None)
        assert await line.hears() == [{"event": "subscribed", "channel": f"room:{name}"}]


async def test_what_one_says_in_a_room_all_in_it_hear_in_whichever_process(world: World) -> None:
    ada = await an_account(world, full_name="Ada Lovelace")
    grace = await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        hers, *others = lines = [process.connect(user) for process, user in ((one, ada), (one, grace), (two, grace))]
        for line in lines:
            await line.conversation.subscribe(KITCHEN, None)
        elsewhere = two.connect(grace)
        await elsewhere.conversation.subscribe("room:cellar", None)
        for line in (*lines, elsewhere):
            await line.waiting()
        hers.conversation.publish(KITCHEN, '{"any": ["JSON"]}')
        hers.conversation.publish(KITCHEN, "2")
        first, second = heard = await hers.waiting()
        said = {"event": "message", "channel": KITCHEN, "from": {"id": ada.id, "full_name": "Ada Lovelace"}}
        assert first == {**said, "id": first["id"], "data": {"any": ["JSON"]}}
        assert second == {**said, "id": second["id"], "data": 2}
        assert first["id"] != second["id"]
        assert [await line.waiting() for line in others] == [heard, heard]
        assert await elsewhere.waiting() == []


async def test_what_was_said_in_a_room_is_not_kept(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        line = service.process().connect(ada)
        await line.conversation.subscribe(KITCHEN, None)
        line.conversation.publish(KITCHEN, "1")
        _, message = await line.waiting()
        for _ in range(2):
            await line.conversation.subscribe(KITCHEN, message["id"])
            assert await line.waiting() == [
                {"event": "subscribed", "channel": KITCHEN},
                {"event": "reset", "channel": KITCHEN},
            ]


async def test_only_who_is_in_a_room_may_speak_there(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        line = service.process().connect(ada)
        with pytest.raises(NotSubscribed):
            line.conversation.publish(KITCHEN, "1")
        await line.conversation.subscribe(KITCHEN, None)
        line.conversation.publish(KITCHEN, "1")
        line.conversation.unsubscribe(KITCHEN)
        with pytest.raises(NotSubscribed):
            line.conversation.publish(KITCHEN, "2")
        assert [event["event"] for event in await line.waiting()] == ["subscribed", "message", "unsubscribed"]


async def test_what_one_says_in_a_room_all_in_it_hear_in_whichever_process_and_nobody_else(world: World) -> None:
    ada, grace = await an_account(world), await an_account(world, "grace@example.org")
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        lines = [process.connect(user) for process in (one, two) for user in (ada, grace)]
        elsewhere = two.connect(grace)
        for line in lines:
            await line.conversation.subscribe(KITCHEN, None)
        await elsewhere.conversation.subscribe("room:hall", None)
        for line in (*lines, elsewhere):
            await line.waiting()
        lines[0].conversation.publish(KITCHEN, '{"soup": [1, null]}')
        heard = [await line.waiting() for line in lines]
        [message] = heard[0]
        assert message == {
            "event": "message",
            "channel": KITCHEN,
            "id": message["id"],
            "from": {"id": ada.id, "full_name": ada.full_name},
            "data": {"soup": [1, None]},
        }
        assert heard == [[message]] * 4
        assert await elsewhere.waiting() == []


async def waiting_in(send_queue: SendQueue) -> list[str | None]:
    """What is there once everything has come to rest."""
    await asyncio.sleep(1)
    return [await send_queue.take() for _ in range(len(send_queue))]


async def test_the_lobby_is_one_over_all_processes(world: World) -> None:
    ada = await an_account(world)
    async with a_service(world) as service:
        one, two = service.process(), service.process()
        send_queues = [process.connect(ada).connection.send_queue for process in (one, two)]
        for process, send_queue in zip((one, two), send_queues, strict=True):
            process.realtime.lobby.enter(send_queue)
        await asyncio.sleep(1)
        one.realtime.lobby.say(7, "Hello")
        assert [await waiting_in(send_queue) for send_queue in send_queues] == [["Client 7: Hello"]] * 2
        one.realtime.lobby.leave(7, send_queues[0])
        assert [await waiting_in(send_queue) for send_queue in send_queues] == [[], ["Client 7 left"]]
