"""A batch of the partner's users, against asking for them one after the other."""

import asyncio
from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import client, median_ratio, register, timed
from tests.benchmarks.servers import portico
from tests.partner_server import partner_server

CONCURRENCY: Final = 10
BATCH: Final = 100
IN_A_ROW: Final = BATCH // CONCURRENCY
LATENCY: Final = 0.05
"""Seconds that the partner takes for each answer."""
LIMIT: Final = 1.5


def partner(folder: Path, *, quick: bool) -> list[Figure]:
    ratio = asyncio.run(_measured(folder, rounds=3 if quick else 10))
    name = f"{BATCH} of the partner's users, {CONCURRENCY} at once: against {IN_A_ROW} one after the other"
    return [Figure(name, ratio, limit=LIMIT)]


async def _measured(folder: Path, *, rounds: int) -> float:
    async with partner_server(latency=LATENCY) as peer:
        settings = {"EXTERNAL_API_URL": peer.url, "EXTERNAL_API_CONCURRENCY": str(CONCURRENCY)}
        with portico(folder, **settings) as server:
            headers = {"Authorization": f"Bearer {await register(server, 'ada@example.org')}"}
            async with client(server) as http:

                async def ask(count: int) -> None:
                    ids = ",".join(map(str, range(1, count + 1)))
                    response = await http.get(f"/users/batch?user_ids={ids}", headers=headers)
                    assert len(response.json()["users"]) == count, response.text

                async def one_after_the_other() -> None:
                    for _ in range(IN_A_ROW):
                        await ask(1)

                await ask(BATCH)  # loads the client and opens its connections
                pairs = [(await timed(lambda: ask(BATCH)), await timed(one_after_the_other)) for _ in range(rounds)]
    return median_ratio(pairs)
