"""What `GET /users/me` costs the server, against the same written by hand."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Load, median_ratio, register, wrk
from tests.benchmarks.servers import Server, migrate, portico, twin
from tests.postgres_server import PostgresServer

CONNECTIONS: Final = 8
POSTGRES_LIMIT: Final = 1.8
SQLITE_LIMIT: Final = 2.0


def on_postgres(folder: Path, postgres: PostgresServer, *, quick: bool) -> list[Figure]:
    postgres.create_database("own_user")
    url = postgres.url("own_user")
    migrate(folder, url)
    servers = (portico(folder, DATABASE_URL=url), lambda: twin("postgres", folder, DATABASE_URL=url))
    return _compared(*servers, title="`GET /users/me` on PostgreSQL", limit=POSTGRES_LIMIT, quick=quick)


def on_sqlite(folder: Path, *, quick: bool) -> list[Figure]:
    file = str(folder / "portico.db")
    servers = (portico(folder), lambda: twin("sqlite", folder, DATABASE_FILE=file))
    return _compared(*servers, title="`GET /users/me` on SQLite", limit=SQLITE_LIMIT, quick=quick)


def _compared(
    ours: AbstractContextManager[Server],
    by_hand: Callable[[], AbstractContextManager[Server]],
    *,
    title: str,
    limit: float,
    quick: bool,
) -> list[Figure]:
    """All logs, metrics and headers are on in Portico; the twin has none of them."""
    with ExitStack() as stack:
        measured = stack.enter_context(ours)
        token = asyncio.run(register(measured, "ada@example.org"))
        servers = (measured, stack.enter_context(by_hand()))
        for server in servers:
            _load(server, token, 1)  # opens the connections, prepares the statements
        rounds = [one_round(servers, token, swapped=n % 2 == 1, quick=quick) for n in range(3 if quick else 7)]
    cpu = median_ratio([(first.cpu_us, second.cpu_us) for first, second in rounds])
    throughput = median_ratio([(first.per_second, second.per_second) for first, second in rounds])
    return [
        Figure(f"{title}: CPU of a request, against hand-written", cpu, limit=limit),
        Figure(f"{title}: requests a second, against hand-written", throughput),
    ]


def one_round(servers: tuple[Server, Server], token: str, *, swapped: bool, quick: bool) -> tuple[Load, Load]:
    """Both, one right after the other, and the other way round every second time."""
    seconds = 1 if quick else 2
    if swapped:
        second, first = (_load(server, token, seconds) for server in reversed(servers))
    else:
        first, second = (_load(server, token, seconds) for server in servers)
    return first, second


def _load(server: Server, token: str, seconds: int) -> Load:
    return wrk(server, token, connections=CONNECTIONS, seconds=seconds)
