"""WebSockets: how many deliveries, beside a hand-written endpoint; what a connection costs; how soon news comes."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.crowd import crowd_at, raise_file_limit
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import client, median_ratio, register
from tests.benchmarks.servers import Server, migrate, portico, twin
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer

CLIENTS = 500
AT_ONCE = 20
FEWER = 200


def in_one_process(folder: Path, *, quick: bool) -> list[Figure]:
    raise_file_limit(4096)
    with portico(folder) as ours, twin("lobby", folder, websockets=True) as theirs:
        figures = asyncio.run(_deliveries(ours, theirs, quick=quick))
    with portico(folder) as ours:
        figures += asyncio.run(_one_that_does_not_read(ours, quick=quick))
    with portico(folder) as ours:
        p50 = asyncio.run(_news(ours, ours, "inside@example.org", quick=quick))
    return [*figures, Figure("change to delivery in one process, p50", p50, "ms", 10)]


def across_processes(folder: Path, postgres: PostgresServer, *, quick: bool) -> list[Figure]:
    """Two servers, once with Redis and once without."""
    figures = []
    for way in ("PostgreSQL", "Redis"):
        name = f"realtime_{way.lower()}"
        postgres.create_database(name)
        settings = {"DATABASE_URL": postgres.url(name)}
        migrate(folder, postgres.url(name))
        with ExitStack() as stack:
            if way == "Redis":
                settings["REDIS_URL"] = stack.enter_context(RedisServer()).url
            one, other = (stack.enter_context(portico(folder, **settings)) for _ in range(2))
            p50 = asyncio.run(_news(one, other, "across@example.org", quick=quick))
        figures.append(Figure(f"change to delivery across two processes through {way}, p50", p50, "ms", 25))
    return figures


async def _deliveries(ours: Server, theirs: Server, *, quick: bool) -> list[Figure]:
    token = await register(ours, "crowd@example.org")
    async with crowd_at(ours, token, 10) as crowd:  # so that everything is loaded
        await crowd.say(10, at_once=1)
    before = ours.memory()
    async with crowd_at(ours, token, CLIENTS) as crowd:
        each = (ours.memory() - before) * 1024 / CLIENTS
    messages = 60 if quick else 100
    rates = []
    for _ in range(3 if quick else 9):
        pair = []
        for server in (theirs, ours):
            async with crowd_at(server, token, CLIENTS) as crowd:
                pair.append(CLIENTS * messages / await crowd.say(messages, at_once=AT_ONCE))
        rates.append((pair[0], pair[1]))
    return [
        Figure("memory of an idle WebSocket", each, "KB", 60),
        Figure("deliveries a second to 500 clients", statistics.median(rate for _, rate in rates), "a second"),
        Figure("deliveries of a bare Starlette endpoint to ours", median_ratio(rates), limit=1.25),
    ]


async def _one_that_does_not_read(server: Server, *, quick: bool) -> list[Figure]:
    """The same load with everybody reading and with one who doesn't, in turns."""
    token = await register(server, "slow@example.org")
    messages = 200 if quick else 600
    pairs, growth = [], []
    for _ in range(1 if quick else 3):
        p99 = []
        for deaf in (0, 1):
            before = server.memory()
            async with crowd_at(server, token, FEWER, deaf=deaf) as crowd:
                await crowd.say_evenly(messages, 50)
                p99.append(statistics.quantiles(crowd.latencies, n=100)[98])
                growth.append(server.memory() - before)
        pairs.append((p99[1], p99[0]))
    return [
        Figure("p99 of 199 clients beside one that does not read", median_ratio(pairs), limit=2),
        Figure("memory of 200 clients, one of which does not read", max(growth), "MB", 30),
    ]


@asynccontextmanager
async def _listening(server: Server, token: str) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(
        f"ws://127.0.0.1:{server.port}/ws/protected", additional_headers=headers, proxy=None
    ) as listening:
        await listening.send(json.dumps({"action": "subscribe", "channel": "items"}))
        while json.loads(await listening.recv())["event"] != "subscribed":
            pass
        yield listening


async def _news(one: Server, other: Server, address: str, *, quick: bool) -> float:
    """How long it takes from asking one server for a change until the other tells of it, in milliseconds: more than
    from the commit, which lies between."""
    token = await register(one, address)
    times = []
    async with client(one) as http, _listening(other, token) as listening:
        for number in range(50 if quick else 200):
            started = time.perf_counter()
            asking: asyncio.Task[Any] = asyncio.create_task(
                http.post("/items/", json={"title": str(number)}, headers={"Authorization": f"Bearer {token}"})
            )
            await listening.recv()
            times.append((time.perf_counter() - started) * 1000)
            (await asking).raise_for_status()
    return statistics.median(times[10:])
