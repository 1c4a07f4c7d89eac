"""The lobby, rooms and who is in them, on a real server."""

import json

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from tests.deployments import LAPTOP, on
from tests.faults.processes import Process
from tests.live import Account, Client, account, connected, greeted

KITCHEN = "room:kitchen"


@pytest.fixture
async def grace(http: httpx2.AsyncClient) -> Account:
    return await account(http, "grace")


async def users_in(client: Client, room: str = KITCHEN) -> list[object]:
    await client.send("presence", channel=room)
    answer = await client.until("presence")
    assert answer["channel"] == room
    users: list[object] = answer["users"]
    return users


async def test_what_one_says_in_the_lobby_all_get_and_that_one_left_the_others(portico: Process, ada: Account) -> None:
    async with connected(portico, "/ws/7", token=ada.token) as one:
        await one.socket.send("Hello")
        assert await one.text() == "Client 7: Hello"
        async with (
            connected(portico, "/ws/7", token=ada.token) as same,
            connected(portico, "/ws/-8", token=ada.token) as other,
        ):
            for text in ("", "ünï\0código 🎉", "Client 9: I am 9"):
                await other.socket.send(text)
                assert {await client.text() for client in (one, same, other)} == {f"Client -8: {text}"}
            await same.socket.close()
            assert await other.text() == "Client 7 left"
        assert await one.text() == "Client 7 left"
        assert await one.text() == "Client -8 left"


@on(**vars(LAPTOP))
@pytest.mark.parametrize("client_id", ["ada", "1.0", "1e3", "0x1", "9" * 19, "9" * 5000, "-", "٣"])
async def test_who_calls_oneself_by_no_number_is_refused_at_the_handshake(
    portico: Process, ada: Account, client_id: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connected(portico, f"/ws/{client_id}", token=ada.token):
            pass
    assert refused.value.response.status_code == 404


@on(**vars(LAPTOP))
async def test_whatever_integer_one_calls_oneself_by_is_heard_as_it_is(portico: Process, ada: Account) -> None:
    for client_id in ("0", "9223372036854775807", "-9223372036854775807"):
        async with connected(portico, f"/ws/{client_id}", token=ada.token) as client:
            await client.socket.send("Hello")
            assert await client.text() == f"Client {client_id}: Hello"


async def test_the_lobby_takes_text_alone(portico: Process, ada: Account) -> None:
    async with connected(portico, "/ws/7", token=ada.token) as client:
        await client.socket.send(b"bytes")
        assert await client.ends() == 1003


async def test_what_one_publishes_all_in_the_room_get(portico: Process, ada: Account, grace: Account) -> None:
    things = ["text", 0, -1.5, None, True, [], {"a": {"b": [1]}}, "\0\u2028 ünï 🎉", "\ud800", 12345678901234567890123]
    async with greeted(portico, ada) as hers, greeted(portico, grace) as other, greeted(portico, grace) as outside:
        await hers.subscribe(KITCHEN)
        await other.subscribe(KITCHEN)
        await outside.subscribe("room:cellar")
        ids = []
        for data in things:
            await other.send("publish", channel=KITCHEN, data=data)
            told = await hers.until("message")
            assert told == await other.until("message")
            ids.append(told.pop("id"))
            assert told == {"event": "message", "channel": KITCHEN, "from": grace.seen, "data": data}
        assert await outside.is_quiet()
    assert len(set(ids)) == len(things)


async def test_a_message_of_64_kib_is_passed_on(portico: Process, ada: Account) -> None:
    frame = {"action": "publish", "channel": KITCHEN, "data": ""}
    frame["data"] = "x" * (65_536 - len(json.dumps(frame)))
    async with greeted(portico, ada) as client:
        await client.subscribe(KITCHEN)
        await client.socket.send(json.dumps(frame))
        assert (await client.next())["data"] == frame["data"]


async def test_a_room_keeps_nothing(portico: Process, ada: Account) -> None:
    async with greeted(portico, ada) as client:
        await client.subscribe(KITCHEN)
        await client.send("publish", channel=KITCHEN, data=1)
        message = await client.next()
        await client.send("unsubscribe", channel=KITCHEN)
        await client.until("unsubscribed")
        await client.send("subscribe", channel=KITCHEN, after=message["id"])
        assert [event["event"] for event in await client.some(2)] == ["subscribed", "reset"]
        assert await client.is_quiet()
        await client.send("publish", channel=KITCHEN, data=2)
        assert (await client.next())["data"] == 2


async def test_presence_is_of_people(portico: Process, ada: Account, grace: Account) -> None:
    async with greeted(portico, ada) as hers:
        await hers.subscribe(KITCHEN)
        assert await users_in(hers) == [ada.seen]
        async with greeted(portico, grace) as first:
            await first.subscribe(KITCHEN)
            assert await hers.next() == {"event": "presence.joined", "channel": KITCHEN, "user": grace.seen}
            async with greeted(portico, grace) as second, greeted(portico, ada) as hers_too:
                for client in (second, hers_too):
                    await client.subscribe(KITCHEN)
                assert await users_in(second) == [ada.seen, grace.seen]
                await second.send("unsubscribe", channel=KITCHEN)
                assert await second.is_quiet()
            assert await hers.is_quiet()
            assert await first.is_quiet()
            await first.send("unsubscribe", channel=KITCHEN)
            assert await hers.next() == {"event": "presence.left", "channel": KITCHEN, "user": grace.seen}
            assert await users_in(first) == [ada.seen]
            await first.subscribe(KITCHEN)
            await hers.until("presence.joined")
        assert await hers.next() == {"event": "presence.left", "channel": KITCHEN, "user": grace.seen}


async def test_who_breaks_off_is_gone_from_the_room(portico: Process, ada: Account, grace: Account) -> None:
    async with greeted(portico, ada) as hers:
        await hers.subscribe(KITCHEN)
        async with greeted(portico, grace) as other:
            await other.subscribe(KITCHEN)
            await hers.until("presence.joined")
            other.socket.transport.abort()
            await hers.until("presence.left")
