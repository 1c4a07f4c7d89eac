"""How often a request asks its database, which the README says: no ping, no reset, no transaction for nothing.

One deployment will do for each database: no other part is counted.
"""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from dependency_injector.providers import Object

from adapters.realtime.memory import MemoryBroadcaster
from tests.deployments import on
from tests.http.conftest import StartApp

README: Final = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
ROUND_TRIPS: Final = {
    request: int(number)
    for request, number in re.findall(
        r"^\| `(.+?)` \| (\d+) \|", README.partition("\n### Round trips\n")[2], re.MULTILINE
    )
}
REQUESTS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "GET /users/me": ("GET", "/users/me", {}),
    "GET /items/{id}": ("GET", "/items/{id}", {}),
    "GET /items/": ("GET", "/items/?limit=1", {}),
    "GET /items/?cursor=…": ("GET", "/items/?limit=1&cursor={cursor}", {}),
    "POST /items/": ("POST", "/items/", {"json": {"title": "Tea"}}),
    "POST /items/, Idempotency-Key": (
        "POST",
        "/items/",
        {"json": {"title": "Tea"}, "headers": {"Idempotency-Key": "{once}"}},
    ),
    "PUT /items/{id}": ("PUT", "/items/{id}", {"json": {"title": "Tea"}}),
    "PATCH /items/{id}": ("PATCH", "/items/{id}", {"json": {"title": "Tea"}}),
    "DELETE /items/{id}": ("DELETE", "/items/{id}", {}),
}


class RoundTrips:
    """Counts them."""

    def __init__(self) -> None:
        self.count = 0

    def of_statement(self, statement: str) -> None:
        """SQLite is asked with each statement; what a trigger does is written as a comment, and PRAGMA opens one more
        connection."""
        self.count += not statement.startswith(("--", "PRAGMA"))

    @asynccontextmanager
    async def on_the_way_to(self, url: str, folder: Path) -> AsyncIterator[str]:
        """Another address of that PostgreSQL server, which leads through here."""
        address, _, place = url.partition("?host=")
        socket = ".s.PGSQL.5432"

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            from_server, to_server = await asyncio.open_unix_connection(Path(place) / socket)
            asking = asyncio.create_task(_pass_on(reader, to_server))
            await self._pass_on_messages(from_server, writer)
            asking.cancel()
            to_server.close()
            writer.close()

        async with await asyncio.start_unix_server(pass_on, folder / socket):
            yield f"{address}?host={folder}"

    async def _pass_on_messages(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A message is a byte for its kind, four for its length, themselves included, and what it says. `Z` says that
        the server is ready for the next question."""
        while head := await reader.read(1):
            length = await reader.readexactly(4)
            writer.write(head + length + await reader.readexactly(int.from_bytes(length, "big") - 4))
            self.count += head == b"Z"


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> RoundTrips:
    """Counts all questions to SQLite, too."""
    trips, connect = RoundTrips(), sqlite3.connect

    def observed(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(trips.of_statement)
        return connection

    monkeypatch.setattr(sqlite3, "connect", observed)
    return trips


@pytest.fixture
async def settings(
    database_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, trips: RoundTrips
) -> AsyncIterator[dict[str, Any]]:
    if "database_url" not in database_settings:
        yield {}
        return
    async with trips.on_the_way_to(database_settings["database_url"], tmp_path_factory.mktemp("way")) as url:
        yield {"database_url": url}


def _without_what_is_done_meanwhile(container: Any) -> None:
    """What is gathered and told off the requests' way is no part of any of them."""
    container.broadcaster.override(Object(MemoryBroadcaster()))
    container.activity().note = lambda user, now: None


def test_the_readme_says_it_of_every_request_that_is_tried() -> None:
    assert ROUND_TRIPS.keys() == REQUESTS.keys()


@on(mail="file")
@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_asks_the_database_as_often_as_the_readme_says(
    start_app: StartApp, settings: dict[str, Any], trips: RoundTrips, name: str
) -> None:
    app = await start_app(with_worker=False, prepare=_without_what_is_done_meanwhile, **settings)
    _, ada = await app.user()
    items = [(await app.http.post("/items/", json={"title": "Milk"}, headers=ada)).json()["id"] for _ in range(9)]
    cursor = (await app.http.get("/items/?limit=1", headers=ada)).json()["next_cursor"]
    method, path, options = REQUESTS[name]
    counts = []
    for number in range(3):
        values = {"id": items[number], "cursor": cursor, "once": f"key-{number}"}
        headers = {key: value.format(**values) for key, value in options.get("headers", {}).items()}
        before = trips.count
        answer = await app.http.request(
            method, path.format(**values), json=options.get("json"), headers={**ada, **headers}
        )
        counts.append(trips.count - before)
        assert answer.is_success

    assert counts[1:] == [ROUND_TRIPS.get(name)] * 2, "the first one also prepares its statements on the server"
