"""What happens when more requests want the database at once than it has connections for."""

import asyncio
import statistics
from pathlib import Path
from typing import Final

from adapters.persistence.postgres import POOL_SIZE
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import register, wrk
from tests.benchmarks.servers import new_database, portico
from tests.postgres_server import PostgresServer

REQUESTS: Final = 4 * POOL_SIZE
LIMIT: Final = 4.0
LONGEST: Final = 1.0
"""Seconds: one that waits longer has stalled."""


def crowded_pool(folder: Path, postgres: PostgresServer, *, quick: bool) -> list[Figure]:
    with portico(folder, DATABASE_URL=new_database(folder, postgres, "crowded_pool")) as server:
        token = asyncio.run(register(server, "ada@example.org"))
        wrk(server, token, connections=REQUESTS, seconds=1)
        loads = [wrk(server, token, connections=REQUESTS, seconds=2) for _ in range(2 if quick else 5)]
    title = f"{REQUESTS} requests at once on {POOL_SIZE} connections"
    return [
        Figure(f"{title}: p99 against p50", statistics.median(load.p99 / load.p50 for load in loads), limit=LIMIT),
        Figure(f"{title}: the longest of all", max(load.longest for load in loads) / 1000, "s", LONGEST),
    ]
