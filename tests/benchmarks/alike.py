"""Whether the time of an answer tells if there is an account of an address."""

import asyncio
import random
import statistics
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.figures import Figure, closeness
from tests.benchmarks.load import client, register, timed
from tests.benchmarks.servers import Server, portico

KNOWN: Final = "ada@example.org"
UNKNOWN: Final = "bob@example.org"
LIMIT: Final = 1.1
PAUSE: Final = 0.02
"""Seconds in which a mail is written."""

Ask = Callable[[str], Awaitable[Any]]


def alike(folder: Path, *, quick: bool) -> list[Figure]:
    with portico(folder, RATE_LIMITS_ENABLED="false") as server:
        return asyncio.run(_measured(server, quick=quick))


async def _measured(server: Server, *, quick: bool) -> list[Figure]:
    await register(server, KNOWN)
    async with client(server) as http:

        async def sign_in(email: str) -> None:
            answer = await http.post("/auth/login", json={"email": email, "password": "Wrong-Horse-42"})
            assert answer.status_code == 401

        async def forgot(email: str) -> None:
            answer = await http.post("/auth/password/forgot", json={"email": email})
            assert answer.status_code == 202

        signing_in = await _ratio(sign_in, 10 if quick else 30)
        forgetting = await _ratio(forgot, 60 if quick else 300)
    return [
        Figure("Failed sign-in, unknown against known address", closeness(signing_in), limit=LIMIT),
        Figure("Forgotten password, unknown against known address", closeness(forgetting), limit=LIMIT),
    ]


async def _ratio(ask: Ask, times: int) -> float:
    """The ratio of the medians. In random order and with a pause: the mail that follows one answer must not fall on
    the next, and least of all on those of one kind only."""
    order = [KNOWN, UNKNOWN] * times
    random.shuffle(order)
    took: dict[str, list[float]] = {KNOWN: [], UNKNOWN: []}
    for email in [KNOWN, UNKNOWN, *order]:
        took[email].append(await timed(partial(ask, email)))
        await asyncio.sleep(PAUSE)
    return statistics.median(took[UNKNOWN]) / statistics.median(took[KNOWN])
