"""What items cost the server, against the same written by hand, and whether a page costs alike at any depth."""

import asyncio
import sqlite3
import statistics
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.comparison import CONNECTIONS, Pair, pair_on_postgres, pair_on_sqlite
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Load, client, register, wrk
from tests.benchmarks.servers import Server, new_database, portico
from tests.postgres_server import PostgresServer

LISTED: Final = 10_000
PAGE: Final = 50
MANY: Final = 1_000_000
LIMITS_ON_POSTGRES: Final = {"get": 1.8, "list": 1.25, "create": 2.0}
LIMITS_ON_SQLITE: Final = {"get": 2.0, "list": 2.0, "create": 2.0}
DEPTH_LIMIT: Final = 1.5
WRITERS: Final = 32
P99_LIMIT: Final = 100.0
"""Milliseconds."""
PATH: Final = "/api/v1/items/"
POSTED: Final = '{"title": "Buy milk", "description": "Two litres"}'

FILL_POSTGRES: Final = """
INSERT INTO items (title, description, owner_id, version, created_at, updated_at, search)
SELECT 'Item ' || n, 'Number ' || n || ' of many', 1, 1, moment, moment, 'item ' || n || ' number ' || n || ' of many'
FROM (SELECT n, timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second' AS moment FROM generate_series(1, {}) AS n)
AS numbers
"""
FILL_SQLITE: Final = """
WITH RECURSIVE numbers (n, moment) AS (
    SELECT 1, datetime('2026-01-01', '1 seconds') || '.000000' UNION ALL
    SELECT n + 1, datetime('2026-01-01', (n + 1) || ' seconds') || '.000000' FROM numbers WHERE n < {}
)
INSERT INTO items (title, description, owner_id, version, created_at, updated_at, search)
SELECT 'Item ' || n, 'Number ' || n || ' of many', 1, 1, moment, moment, 'item ' || n || ' number ' || n || ' of many'
FROM numbers
"""


def on_postgres(folder: Path, postgres: PostgresServer, *, quick: bool) -> list[Figure]:
    with pair_on_postgres(folder, new_database(folder, postgres, "items")) as pair:
        token = asyncio.run(register(pair.ours, "ada@example.org"))
        _fill_postgres(postgres, "items", LISTED)
        return _compared(pair, token, "PostgreSQL", LIMITS_ON_POSTGRES, quick=quick)


def on_sqlite(folder: Path, *, quick: bool) -> list[Figure]:
    with pair_on_sqlite(folder) as pair:
        token = asyncio.run(register(pair.ours, "ada@example.org"))
        _fill_sqlite(folder, LISTED)
        figures = _compared(pair, token, "SQLite", LIMITS_ON_SQLITE, quick=quick)
        loads = [_create(pair.ours, token, seconds=2, connections=WRITERS) for _ in range(1 if quick else 3)]
    p99 = statistics.median(load.p99 for load in loads)
    return [*figures, Figure(f"{WRITERS} people who `POST /items/` at once on SQLite: p99", p99, "ms", P99_LIMIT)]


def deep_pages_on_postgres(folder: Path, postgres: PostgresServer, *, quick: bool) -> list[Figure]:
    with portico(folder, DATABASE_URL=new_database(folder, postgres, "pages")) as server:
        return _deep_pages(server, lambda: _fill_postgres(postgres, "pages", MANY), "PostgreSQL", quick=quick)


def deep_pages_on_sqlite(folder: Path, *, quick: bool) -> list[Figure]:
    with portico(folder) as server:
        return _deep_pages(server, lambda: _fill_sqlite(folder, MANY), "SQLite", quick=quick)


def _fill_postgres(postgres: PostgresServer, database: str, count: int) -> None:
    postgres.execute(FILL_POSTGRES.format(count), database)
    postgres.execute("VACUUM ANALYZE items", database)


def _fill_sqlite(folder: Path, count: int) -> None:
    with closing(sqlite3.connect(folder / "portico.db")) as connection, connection:
        connection.execute(FILL_SQLITE.format(count))


def _compared(pair: Pair, token: str, database: str, limits: dict[str, float], *, quick: bool) -> list[Figure]:
    def get(server: Server, seconds: int) -> Load:
        return wrk(server, token, connections=CONNECTIONS, seconds=seconds, path=f"{PATH}{LISTED // 2}")

    def list_them(server: Server, seconds: int) -> Load:
        return wrk(server, token, connections=CONNECTIONS, seconds=seconds, path=f"{PATH}?limit={PAGE}")

    def create(server: Server, seconds: int) -> Load:
        return _create(server, token, seconds=seconds)

    loads: dict[str, tuple[str, Callable[[Server, int], Load]]] = {
        "get": ("`GET /items/{id}`", get),
        "list": (f"`GET /items/`, {PAGE} of {LISTED:,}", list_them),
        "create": ("`POST /items/`", create),
    }
    figures: list[Figure] = []
    for name, (title, load) in loads.items():
        figures += pair.compared(load, title=f"{title} on {database}", limit=limits[name], quick=quick)
    return figures


def _create(server: Server, token: str, *, seconds: int, connections: int = CONNECTIONS) -> Load:
    return wrk(server, token, connections=connections, seconds=seconds, path=PATH, posted=POSTED)


def _deep_pages(server: Server, fill: Callable[[], Any], database: str, *, quick: bool) -> list[Figure]:
    """The last of a million rows' pages against the first, both after a cursor: neither counts the rows."""
    token = asyncio.run(register(server, "ada@example.org"))
    fill()
    first, last = asyncio.run(_cursors(server, token))
    ratios = []
    for _ in range(2 if quick else 3):
        near, far = (_page(server, token, cursor) for cursor in (first, last))
        ratios.append(far.p50 / near.p50)
    name = f"The page at row {MANY:,} on {database}, against the first page after a cursor: p50"
    return [Figure(name, statistics.median(ratios), limit=DEPTH_LIMIT)]


async def _cursors(server: Server, token: str) -> tuple[str, str]:
    """Those of the second page and of the last one."""
    async with client(server) as http:
        answers = [
            await http.get(
                "/items/", params={"limit": PAGE, "skip": skip}, headers={"Authorization": f"Bearer {token}"}
            )
            for skip in (0, MANY - 2 * PAGE)
        ]
    first, last = (answer.json()["next_cursor"] for answer in answers)
    return first, last


def _page(server: Server, token: str, cursor: str) -> Load:
    return wrk(server, token, connections=1, seconds=1, path=f"{PATH}?limit={PAGE}&cursor={cursor}")
