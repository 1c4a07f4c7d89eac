"""Several processes, killed and cut off from each other: nobody is told wrong things, and nothing is lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from tests.faults.processes import CERTAIN_SECONDS, Process, comes_to, serving
from tests.live import Account, account, connected, greeted
from tests.redis_server import RedisServer, RedisUnavailable
from tests.running_app import eventually

KITCHEN: Final = "room:kitchen"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    try:
        with RedisServer() as server:
            yield server
    except RedisUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["redis", "postgres"])
def shared(request: pytest.FixtureRequest, migrated_postgres_url: str) -> dict[str, str]:
    """The settings by which two servers are one service, through Redis or through PostgreSQL alone."""
    settings = {"DATABASE_URL": migrated_postgres_url, "MAIL_BACKEND": "file"}
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        settings["REDIS_URL"] = server.url
    return settings


@asynccontextmanager
async def two_servers(data: Path, settings: dict[str, str]) -> AsyncIterator[tuple[Process, Process]]:
    async with serving(data, **settings) as one, serving(data, **settings) as two:
        yield one, two


class Reader:
    """Somebody who comes and goes, at one server or another, and resumes from what was told last."""

    def __init__(self, servers: tuple[Process, ...], who: Account, chance: random.Random) -> None:
        self._servers = servers
        self._who = who
        self._chance = chance
        self.told: list[Any] = []
        self.joined = asyncio.Event()

    async def read(self, enough: int) -> None:
        """Until so many events were told."""
        while len(self.told) < enough:
            async with greeted(self._chance.choice(self._servers), self._who) as client:
                await client.subscribe("items", self.told[-1]["id"] if self.told else None)
                self.joined.set()
                for _ in range(self._chance.randint(1, 40)):
                    if len(self.told) >= enough:
                        break
                    event = await client.next()
                    assert event["event"] != "reset"
                    self.told.append(event)
                if self._chance.random() < 0.5:
                    client.socket.transport.abort()
            await asyncio.sleep(self._chance.random() / 10)


async def write(clients: list[httpx2.AsyncClient], who: Account, count: int, committed: list[dict[str, Any]]) -> None:
    """Items, one after the other, through one server after the other; what is answered is kept."""
    for number in range(count):
        committed.append(await who.create(clients[number % len(clients)], str(number)))


async def each_ends_with_all(servers: tuple[Process, ...], seed: int, *, writes: int, meanwhile: Any = None) -> None:
    """Several readers come and go while two users write. Each must be told exactly what was committed, in order.

    `meanwhile` is given something to wait by until each user has written so many.
    """
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.client()) for server in servers]
        people = [await account(clients[0], name) for name in ("ada", "grace")]
        readers = [Reader(servers, who, random.Random(f"{seed} {n}")) for who in people for n in range(4)]
        reading = [asyncio.create_task(reader.read(writes)) for reader in readers]
        for reader in readers:
            await reader.joined.wait()
        committed: list[list[dict[str, Any]]] = [[] for _ in people]
        writing = [
            asyncio.create_task(write(clients, who, writes, items))
            for who, items in zip(people, committed, strict=True)
        ]
        if meanwhile is not None:
            await meanwhile(lambda count: eventually(lambda: all(len(items) >= count for items in committed)))
        await asyncio.gather(*writing)
        async with asyncio.timeout(CERTAIN_SECONDS):
            await asyncio.gather(*reading)
    for number, reader in enumerate(readers):
        assert [event["data"] for event in reader.told] == committed[number // 4], f"seed {seed}"
        ids = [event["id"] for event in reader.told]
        assert ids == sorted(set(ids))


@pytest.mark.parametrize("seed", [1, 2])
async def test_whoever_leaves_and_returns_is_told_exactly_what_was_committed(
    database: dict[str, str], data: Path, seed: int
) -> None:
    async with serving(data, MAIL_BACKEND="file", **database) as portico:
        await each_ends_with_all((portico,), seed, writes=150)


async def test_across_two_servers_nothing_is_lost_though_redis_is_killed(
    redis: RedisServer, migrated_postgres_url: str, data: Path
) -> None:
    settings = {"DATABASE_URL": migrated_postgres_url, "MAIL_BACKEND": "file", "REDIS_URL": redis.url}

    async def outage(written: Callable[[int], Awaitable[None]]) -> None:
        await written(100)
        await asyncio.to_thread(redis.kill)
        await written(200)
        await asyncio.to_thread(redis.start)

    async with two_servers(data, settings) as servers:
        await each_ends_with_all(servers, 3, writes=400, meanwhile=outage)


async def test_what_is_said_in_one_process_is_heard_in_the_other(shared: dict[str, str], data: Path) -> None:
    async with two_servers(data, shared) as (one, two), one.client() as http:
        ada, grace = await account(http, "ada"), await account(http, "grace")
        async with greeted(one, ada) as hers, greeted(two, grace) as other:
            await hers.subscribe(KITCHEN)
            await other.subscribe(KITCHEN)
            assert await hers.until("presence.joined") == {
                "event": "presence.joined",
                "channel": KITCHEN,
                "user": grace.seen,
            }
            for data_sent in ("short", "x" * 60_000):
                await hers.send("publish", channel=KITCHEN, data=data_sent)
                assert await hers.until("message") == (heard := await other.until("message"))
                assert heard["data"] == data_sent
            for client in (hers, other):
                await client.send("presence", channel=KITCHEN)
                assert (await client.until("presence"))["users"] == [ada.seen, grace.seen]
            async with greeted(one, grace) as again:  # the same person through another process
                await again.subscribe(KITCHEN)
                await again.send("presence", channel=KITCHEN)
                assert (await again.until("presence"))["users"] == [ada.seen, grace.seen]
            await ada.create(http)
            assert await hers.is_quiet()
            await other.send("unsubscribe", channel=KITCHEN)
            assert await hers.next() == {"event": "presence.left", "channel": KITCHEN, "user": grace.seen}
        async with (
            connected(one, "/ws/1", token=ada.token) as here,
            connected(two, "/ws/2", token=grace.token) as there,
        ):
            await here.socket.send("Hello")
            assert await there.text() == "Client 1: Hello"
            await here.socket.close()
            assert await there.text() == "Client 1 left"


async def test_a_change_made_in_one_process_is_told_in_the_other(shared: dict[str, str], data: Path) -> None:
    async with two_servers(data, shared) as (one, two), one.client() as http:
        ada = await account(http)
        async with greeted(two, ada) as client:
            await client.subscribe("items")
            item = await ada.create(http)
            assert (await client.next())["data"] == item
            await http.post("/auth/logout", headers=ada.headers)
            assert await client.ends() == 1008


async def test_the_people_of_a_killed_process_go_away_once(shared: dict[str, str], data: Path) -> None:
    async with two_servers(data, shared) as (one, two), one.client() as http:
        ada, grace = await account(http, "ada"), await account(http, "grace")
        async with greeted(one, ada) as hers:
            await hers.subscribe(KITCHEN)
            with pytest.raises(ConnectionClosed):
                async with greeted(two, grace) as other:
                    await other.subscribe(KITCHEN)
                    assert (await hers.next())["user"] == grace.seen
                    two.kill()
                    await other.socket.recv()
            assert await hers.next() == {"event": "presence.left", "channel": KITCHEN, "user": grace.seen}
            await hers.send("presence", channel=KITCHEN)
            assert (await hers.next())["users"] == [ada.seen]


async def test_while_redis_is_away_nobody_seems_to_leave(
    redis: RedisServer, migrated_postgres_url: str, data: Path
) -> None:
    settings = {"DATABASE_URL": migrated_postgres_url, "MAIL_BACKEND": "file", "REDIS_URL": redis.url}
    async with two_servers(data, settings) as (one, two), one.client() as http:
        ada, grace = await account(http, "ada"), await account(http, "grace")
        async with greeted(one, ada) as hers, greeted(two, grace) as other:
            await hers.subscribe(KITCHEN)
            await other.subscribe(KITCHEN)
            await hers.until("presence.joined")
            await asyncio.to_thread(redis.kill)
            await other.send("publish", channel=KITCHEN, data="late")
            await other.next()
            await hers.send("publish", channel=KITCHEN, data="at once, here")
            assert (await hers.next())["data"] == "at once, here"
            await asyncio.to_thread(redis.start)
            assert (await hers.next())["data"] == "late"
            assert await hers.is_quiet()


async def test_a_server_told_to_stop_closes_with_1012_and_ends_well(database: dict[str, str], data: Path) -> None:
    async with serving(data, MAIL_BACKEND="file", **database) as portico, portico.client() as http:
        ada = await account(http)
        async with (
            greeted(portico, ada) as client,
            connected(portico, "/ws/1", token=ada.token) as lobby,
            greeted(portico, ada) as deaf,
        ):
            await client.subscribe(KITCHEN)
            await comes_to(portico, "portico_websocket_connections", 3)
            deaf.socket.transport.pause_reading()
            portico.terminate()
            codes = [await client.ends(), await lobby.ends()]
            status = await portico.exit_status()
            deaf.socket.transport.abort()
    assert codes == [1012, 1012]
    assert status == 0
    assert "Traceback" not in portico.errors
    assert "Exception" not in portico.errors
