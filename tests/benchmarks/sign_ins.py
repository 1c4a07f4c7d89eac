"""What everybody else notices while eight people sign in at once without pause."""

import asyncio
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx2

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import PASSWORD, Load, client, register, wrk
from tests.benchmarks.servers import Server, portico

PEOPLE: Final = 8
P50_LIMIT: Final = 1.5
P99_LIMIT: Final = 3.0
MEMORY_LIMIT: Final = 70.0


def during_sign_ins(folder: Path, *, quick: bool) -> list[Figure]:
    """bcrypt at its cost of 12, which is the default."""
    with portico(folder, RATE_LIMITS_ENABLED="false") as server:
        return asyncio.run(_measured(server, rounds=2 if quick else 5))


async def _measured(server: Server, rounds: int) -> list[Figure]:
    token = await register(server, "ada@example.org")
    await _load(server, token)
    memory = server.memory()
    quiet, busy = [], []
    for _ in range(rounds):
        quiet.append(await _load(server, token))
        async with _people_signing_in(server):
            busy.append(await _load(server, token))
    growth = max(0.0, server.memory("VmHWM") - memory)
    p50 = statistics.median(load.p50 for load in busy) / statistics.median(load.p50 for load in quiet)
    p99 = statistics.median(load.p99 for load in busy) / statistics.median(load.p99 for load in quiet)
    title = f"While {PEOPLE} people sign in without pause"
    return [
        Figure(f"{title}: p50 of `GET /users/me`, against quiet", p50, limit=P50_LIMIT),
        Figure(f"{title}: p99 of `GET /users/me`, against quiet", p99, limit=P99_LIMIT),
        Figure(f"{title}: growth of the memory", growth, "MB", MEMORY_LIMIT),
    ]


async def _load(server: Server, token: str) -> Load:
    """One more person who looks at their account again and again."""
    return await asyncio.to_thread(wrk, server, token, connections=1, seconds=3)


@asynccontextmanager
async def _people_signing_in(server: Server) -> AsyncIterator[None]:
    """Everybody has signed in once when the block begins, and goes on until it ends."""
    async with client(server) as http, asyncio.TaskGroup() as group:
        signed_in = [asyncio.Event() for _ in range(PEOPLE)]
        people = [group.create_task(_sign_in_forever(http, event)) for event in signed_in]
        for event in signed_in:
            await event.wait()
        yield
        for person in people:
            person.cancel()


async def _sign_in_forever(http: httpx2.AsyncClient, signed_in: asyncio.Event) -> None:
    while True:
        answer = await http.post("/auth/login", json={"email": "ada@example.org", "password": PASSWORD})
        answer.raise_for_status()
        signed_in.set()
