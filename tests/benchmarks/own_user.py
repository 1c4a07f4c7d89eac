"""What `GET /users/me` costs the server, against the same written by hand."""

import asyncio
from pathlib import Path
from typing import Final

from tests.benchmarks.comparison import CONNECTIONS, Pair, pair_on_postgres, pair_on_sqlite
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Load, register, wrk
from tests.benchmarks.servers import Server, new_database
from tests.postgres_server import PostgresServer

POSTGRES_LIMIT: Final = 1.8
SQLITE_LIMIT: Final = 2.0


def on_postgres(folder: Path, postgres: PostgresServer, *, quick: bool) -> list[Figure]:
    with pair_on_postgres(folder, new_database(folder, postgres, "own_user")) as pair:
        return _compared(pair, title="`GET /users/me` on PostgreSQL", limit=POSTGRES_LIMIT, quick=quick)


def on_sqlite(folder: Path, *, quick: bool) -> list[Figure]:
    with pair_on_sqlite(folder) as pair:
        return _compared(pair, title="`GET /users/me` on SQLite", limit=SQLITE_LIMIT, quick=quick)


def _compared(pair: Pair, *, title: str, limit: float, quick: bool) -> list[Figure]:
    token = asyncio.run(register(pair.ours, "ada@example.org"))

    def load(server: Server, seconds: int) -> Load:
        return wrk(server, token, connections=CONNECTIONS, seconds=seconds)

    return pair.compared(load, title=title, limit=limit, quick=quick)
