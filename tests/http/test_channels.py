"""Own changes over `/ws/protected`, on a real server."""

from collections.abc import Sequence
from typing import Final

import httpx2
import pytest

from tests.deployments import LAPTOP, on
from tests.faults.processes import Process
from tests.live import Account, account, connected, greeted


async def test_the_first_message_says_who_one_is(portico: Process, ada: Account) -> None:
    async with connected(portico, token=ada.token) as client:
        user = {name: ada.user[name] for name in ("id", "email", "full_name")}
        assert await client.next() == {"event": "authenticated", "message": "Authenticated", "user": user}


async def test_every_change_of_ones_own_is_told_as_the_api_shows_it(
    portico: Process, http: httpx2.AsyncClient, ada: Account
) -> None:
    async with greeted(portico, ada) as client:
        await client.subscribe("items")
        item = await ada.create(http)
        path = f"/items/{item['id']}"
        edited = (await http.patch(path, json={"title": "Bread"}, headers=ada.headers)).json()
        await http.delete(path, headers=ada.headers)
        told = await client.some(3)

    ids = [event.pop("id") for event in told]
    assert ids == sorted(ids, key=int) == sorted(ids)
    assert told == [
        {"event": "item.created", "channel": "items", "data": item},
        {"event": "item.updated", "channel": "items", "data": edited},
        {"event": "item.deleted", "channel": "items", "data": {"id": item["id"]}},
    ]


async def test_every_file_of_ones_own_is_told_as_the_api_shows_it(
    portico: Process, http: httpx2.AsyncClient, ada: Account
) -> None:
    async with greeted(portico, ada) as client:
        await client.subscribe("files")
        parts = [("files", (f"{name}.txt", name.encode())) for name in ("a", "b")]
        files = (await http.post("/files/upload-multiple", headers=ada.headers, files=parts)).json()["files"]
        await http.delete(f"/files/{files[0]['id']}", headers=ada.headers)
        await ada.create(http)
        told = await client.some(3)
        assert await client.is_quiet()

    ids = [event.pop("id") for event in told]
    assert ids == sorted(set(ids))
    assert told == [
        {"event": "file.created", "channel": "files", "data": files[0]},
        {"event": "file.created", "channel": "files", "data": files[1]},
        {"event": "file.deleted", "channel": "files", "data": {"id": files[0]["id"]}},
    ]


async def test_a_task_of_ones_own_is_told_until_its_end_as_the_api_shows_it(
    portico: Process, http: httpx2.AsyncClient, ada: Account
) -> None:
    csv = {"file": ("items.csv", b"title,description\nMilk,\nBread,\n", "text/csv")}
    file = (await http.post("/files/upload", files=csv, headers=ada.headers)).json()
    async with greeted(portico, ada) as client:
        await client.subscribe("tasks")
        await client.subscribe("items")
        started = {"kind": "import_items", "params": {"file_id": file["id"]}}
        task_id = (await http.post("/tasks/start", json=started, headers=ada.headers)).json()["task_id"]
        told = [await client.next()]
        while told[-1]["event"] != "task.updated" or told[-1]["data"]["status"] != "completed":
            told.append(await client.next())
        task = (await http.get(f"/tasks/{task_id}", headers=ada.headers)).json()

    assert [event["data"]["title"] for event in told if event["channel"] == "items"] == ["Milk", "Bread"]
    updates = [event for event in told if event["channel"] == "tasks"]
    assert {event["event"] for event in updates} == {"task.updated"}
    assert (updates[0]["data"]["status"], updates[-1]["data"]) == ("started", task)
    assert [event["id"] for event in told] == sorted({event["id"] for event in told})


async def test_nobody_hears_of_what_is_not_theirs(portico: Process, http: httpx2.AsyncClient, ada: Account) -> None:
    grace = await account(http, "grace")
    async with greeted(portico, ada) as hers, greeted(portico, grace) as other:
        await hers.subscribe("items")
        await other.subscribe("items")
        await ada.create(http)
        assert (await hers.next())["event"] == "item.created"
        assert await other.is_quiet()


async def test_what_was_there_before_is_not_told_and_what_was_undone_neither(
    portico: Process, http: httpx2.AsyncClient, ada: Account
) -> None:
    async with greeted(portico, ada) as first:
        await first.subscribe("items")
        item = await ada.create(http, "before")
        async with greeted(portico, ada) as second:
            await second.subscribe("items")
            stale = {**ada.headers, "If-Match": '"7"'}
            refused = await http.patch(f"/items/{item['id']}", json={"title": "no"}, headers=stale)
            await ada.create(http, "after")
            assert (await second.next())["data"]["title"] == "after"
        assert [event["data"]["title"] for event in await first.some(2)] == ["before", "after"]
    assert refused.status_code == 412


async def test_one_who_returns_is_told_what_was_missed_and_then_what_is_new(
    portico: Process, http: httpx2.AsyncClient, ada: Account
) -> None:
    async with greeted(portico, ada) as client:
        await client.subscribe("items")
        await ada.create(http, "0")
        last = (await client.next())["id"]
    for number in range(1, 600):
        await ada.create(http, str(number))
    async with greeted(portico, ada) as client:
        await client.subscribe("items", last)
        await ada.create(http, "600")
        told = await client.some(600)
        assert await client.is_quiet()

    assert [event["data"]["title"] for event in told] == [str(number) for number in range(1, 601)]


async def test_after_an_event_that_is_not_known_one_is_reset(
    portico: Process, http: httpx2.AsyncClient, ada: Account
) -> None:
    for unknown in ("9223372036854775807", "0", "-1", "no id", "9" * 40, "٣"):
        async with greeted(portico, ada) as client:
            await ada.create(http, "before")
            await client.send("subscribe", channel="items", after=unknown)
            assert await client.some(2) == [
                {"event": "subscribed", "channel": "items"},
                {"event": "reset", "channel": "items"},
            ]
            await ada.create(http, "after")
            assert (await client.next())["data"]["title"] == "after"


async def test_another_ones_event_is_not_known(portico: Process, http: httpx2.AsyncClient, ada: Account) -> None:
    grace = await account(http, "grace")
    async with greeted(portico, ada) as client, greeted(portico, grace) as other:
        await client.subscribe("items")
        await ada.create(http)
        event = await client.next()
        await other.send("subscribe", channel="items", after=event["id"])
        assert [message["event"] for message in await other.some(2)] == ["subscribed", "reset"]


async def test_who_unsubscribes_hears_nothing_more(portico: Process, http: httpx2.AsyncClient, ada: Account) -> None:
    async with greeted(portico, ada) as client, greeted(portico, ada) as other:
        for one in (client, other):
            await one.subscribe("items")
        await client.send("unsubscribe", channel="items")
        assert await client.next() == {"event": "unsubscribed", "channel": "items"}
        await ada.create(http)
        await other.next()
        assert await client.is_quiet()


async def test_subscribing_twice_tells_nothing_twice(portico: Process, http: httpx2.AsyncClient, ada: Account) -> None:
    async with greeted(portico, ada) as client:
        await client.subscribe("items")
        await client.subscribe("items")
        await ada.create(http)
        first = await client.next()
        assert await client.is_quiet()
        await client.subscribe("items", first["id"])
        await ada.create(http, "second")
        assert (await client.next())["data"]["title"] == "second"
        assert await client.is_quiet()


WRONG: Final[Sequence[tuple[str | bytes, str]]] = (
    ("no JSON", "malformed_body"),
    ('{"action": "subscribe", "action": "subscribe", "channel": "items"}', "malformed_body"),
    ("[" * 30_000, "malformed_body"),
    ('"subscribe"', "invalid_message"),
    ("{}", "invalid_message"),
    ('{"action": "fly"}', "unknown_action"),
    ('{"action": "subscribe"}', "invalid_message"),
    ('{"action": "subscribe", "channel": 7}', "invalid_message"),
    ('{"action": "subscribe", "channel": "items", "after": 7}', "invalid_message"),
    ('{"action": "subscribe", "channel": "items", "since": "7"}', "invalid_message"),
    ('{"action": "subscribe", "channel": "users"}', "channel_not_allowed"),
    ('{"action": "subscribe", "channel": "room:"}', "channel_not_allowed"),
    ('{"action": "unsubscribe", "channel": "users"}', "channel_not_allowed"),
    ('{"action": "publish", "channel": "items", "data": 1}', "channel_not_allowed"),
    ('{"action": "presence", "channel": "items"}', "channel_not_allowed"),
    ('{"action": "publish", "channel": "room:a", "data": 1}', "not_subscribed"),
    ('{"action": "publish", "channel": "room:a", "data": 1e999}', "invalid_message"),
    (b"\x00\xff", "malformed_body"),
)


@on(**vars(LAPTOP))
@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("[]", "A message must be a JSON object"),
        ("null", "A message must be a JSON object"),
        ("{}", "action: Field required"),
        ('{"Action": "subscribe", "channel": "items"}', "action: Field required"),
        ('{"action": "subscribe"}', "channel: Field required"),
        ('{"action": "subscribe", "channel": null}', "channel: Input should be a valid string"),
        ('{"action": "subscribe", "channel": "items", "since": 7}', "since: Extra inputs are not permitted"),
    ],
)
async def test_whoever_sends_a_message_that_can_not_be_is_told_what_is_wrong_with_it(
    portico: Process, ada: Account, message: str, said: str
) -> None:
    async with greeted(portico, ada) as client:
        await client.socket.send(message)
        assert await client.next() == {"event": "error", "code": "invalid_message", "message": said}


@on(**vars(LAPTOP))
async def test_a_message_that_can_not_be_is_answered_and_the_connection_stays(portico: Process, ada: Account) -> None:
    for message, code in WRONG:
        async with greeted(portico, ada) as client:
            await client.socket.send(message)
            error = await client.next()
            assert (error["event"], error["code"]) == ("error", code), message
            assert error.keys() == {"event", "code", "message"}
            assert await client.is_quiet()
