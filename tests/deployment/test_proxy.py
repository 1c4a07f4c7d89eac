"""The nginx example in front of two servers: who is who, what passes through, and restarts that nobody notices."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests import nginx_server
from tests.faults.processes import Process, register, serving, serving_at, sign_in
from tests.nginx_server import connected, nginx
from tests.ports import reserved_port
from tests.running_app import bearer, eventually

ADA = "ada@example.org"
CLIENTS = 8

pytestmark = pytest.mark.skipif(nginx_server.PROGRAM is None, reason=nginx_server.HOW_TO_GET)


def through(port: int, address: str = "127.0.0.1") -> httpx2.AsyncClient:
    """A client of nginx that comes from this address."""
    transport = httpx2.AsyncHTTPTransport(verify=False, local_address=address)
    return httpx2.AsyncClient(base_url=f"https://127.0.0.1:{port}/api/v1", transport=transport, timeout=60)


@dataclass
class Site:
    """Two servers on one database, and nginx on `port`."""

    port: int
    processes: list[Process]


@asynccontextmanager
async def site(data: Path, tmp_path: Path, database_url: str, *arguments: str) -> AsyncIterator[Site]:
    settings = {"DATABASE_URL": database_url, "TRUSTED_PROXIES": '["127.0.0.1"]', "MAIL_BACKEND": "file"}
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(serving(data, *arguments, **settings)) for _ in range(2)]
        port = await stack.enter_async_context(nginx(tmp_path / "nginx", [each.port for each in processes]))
        yield Site(port, processes)


async def test_portico_learns_who_is_asking_from_the_proxy_and_from_nobody_else(
    data: Path, tmp_path: Path, migrated_postgres_url: str
) -> None:
    async with site(data, tmp_path, migrated_postgres_url) as here, through(here.port, "127.0.0.9") as client:
        assert (await register(client, ADA)).status_code == 201
        pair = (await sign_in(client, ADA)).json()
        lie = {"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}
        await client.post("/auth/login", json={"email": ADA, "password": "Correct-Horse-42"}, headers=lie)
        answer = await client.get("/auth/sessions", headers=bearer(pair) | {"X-Request-ID": "asked-outside"})

        assert {session["ip"] for session in answer.json()["items"]} == {"127.0.0.9"}
        assert answer.headers["X-Request-ID"] == "asked-outside"
        assert (await client.get(f"https://127.0.0.1:{here.port}/metrics")).status_code == 404


async def test_a_process_that_is_gone_is_passed_over(data: Path, tmp_path: Path, migrated_postgres_url: str) -> None:
    async with site(data, tmp_path, migrated_postgres_url) as here, through(here.port) as client:
        here.processes[0].kill()
        await here.processes[0].process.wait()
        statuses = [(await register(client, f"user{number}@example.org")).status_code for number in range(20)]

    assert statuses == [201] * 20


@dataclass
class Load:
    """People who add and read items, all of it noted; `wrong` has what wasn't as it should be."""

    asked: int = 0
    added: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ended: bool = False

    async def goes_on(self, port: int, address: str) -> None:
        async with through(port) as client:
            assert (await register(client, address)).status_code == 201
            headers = bearer((await sign_in(client, address)).json())
            while not self.ended:
                added = await self._asked(201, client.post("/items/", json={"title": "Tea"}, headers=headers))
                if added is not None:
                    self.added.append(added["id"])
                    path = f"/items/{added['id']}"
                    await self._asked(200, client.get(path, headers=headers))
                    await self._asked(200, client.patch(path, json={"title": "Coffee"}, headers=headers))

    async def has_asked(self, more: int) -> None:
        """Return once so many more requests were made, or one went wrong."""
        enough = self.asked + more
        await eventually(lambda: self.asked > enough or self.wrong)

    async def _asked(self, status: int, asking: Awaitable[httpx2.Response]) -> dict[str, int] | None:
        self.asked += 1
        try:
            answer = await asking
        except httpx2.TransportError as error:
            self.wrong.append(repr(error))
            return None
        if answer.status_code != status:
            self.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
            return None
        body: dict[str, int] = answer.json()
        return body


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_restarting_one_server_after_the_other_fails_no_request(
    data: Path, tmp_path: Path, migrated_postgres_url: str, workers: str
) -> None:
    load = Load()
    async with site(data, tmp_path, migrated_postgres_url, "--workers", workers) as here:
        people = [asyncio.create_task(load.goes_on(here.port, f"user{n}@example.org")) for n in range(CLIENTS)]
        settings = {"DATABASE_URL": migrated_postgres_url, "MAIL_BACKEND": "file"}
        async with AsyncExitStack() as stack:
            for old in here.processes:
                await load.has_asked(200)
                old.terminate()
                assert await old.exit_status() == 0
                restarted = serving_at(old.port, data, "--workers", workers, **settings)
                await stack.enter_async_context(restarted)
            load.ended = True
            await asyncio.gather(*people)

    assert load.wrong == []
    assert len(set(load.added)) == len(load.added)


Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def in_front_of(answering: Answering, tmp_path: Path) -> AsyncIterator[int]:
    """nginx in front of a server that this test writes down itself, to see what gets there byte by byte."""
    server = await asyncio.start_server(answering, "127.0.0.1", 0)
    with reserved_port() as nobody:
        async with server, nginx(tmp_path / "nginx", [server.sockets[0].getsockname()[1], nobody]) as port:
            yield port


async def test_a_websocket_passes_through(tmp_path: Path) -> None:
    heads: list[str] = []

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        writer.write((await reader.readexactly(4)).upper())
        writer.close()

    async with in_front_of(answering, tmp_path) as port:
        reader, writer = await connected(port)
        writer.write(b"GET /ws/protected HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"PING"
        writer.close()

    assert head.startswith(b"HTTP/1.1 101 ")
    assert "upgrade: websocket\r\n" in heads[0]
    assert "connection: upgrade\r\n" in heads[0]
    assert "x-forwarded-proto: https\r\n" in heads[0]


async def test_an_upload_passes_through_while_it_comes(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1024)
        arrived.set()
        await reader.readexactly(1024)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with in_front_of(answering, tmp_path) as port:
        reader, writer = await connected(port)
        writer.write(b"POST /api/v1/files/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 2048\r\n\r\n" + bytes(1024))
        async with asyncio.timeout(60):
            await arrived.wait()
        writer.write(bytes(1024))
        assert (await reader.readline()).startswith(b"HTTP/1.1 204 ")
        writer.close()


async def answered(port: int, head: str) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body that this request gets, of which only the head is sent."""
    reader, writer = await connected(port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return int(status.split()[1]), headers, body


async def test_an_upload_of_the_largest_size_gets_to_portico_and_a_larger_one_does_not(tmp_path: Path) -> None:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 418 Portico\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    gibibyte = 1024**3
    async with in_front_of(answering, tmp_path) as port:
        answers = [
            await answered(port, f"POST /a HTTP/1.1\nHost: x\nX-Request-ID: mine\nContent-Length: {size}")
            for size in (gibibyte + 1000, gibibyte * 2)
        ]

    assert [status for status, _, _ in answers] == [418, 413]
    assert json.loads(answers[1][2]) == {
        "success": False,
        "message": "The body is too large",
        "code": "body_too_large",
        "path": "/a",
        "request_id": "mine",
    }


async def test_errors_are_in_one_shape_whoever_answers_and_those_of_portico_pass_through(tmp_path: Path) -> None:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if "/broken" not in head:
            status = head.partition("/")[2][:3]
            writer.write(f"HTTP/1.1 {status} Portico\r\nContent-Length: 7\r\nConnection: close\r\n\r\nportico".encode())
        writer.close()

    async with in_front_of(answering, tmp_path) as port:
        for status in (404, 413, 502, 503, 504):
            passed, _, body = await answered(port, f"GET /{status} HTTP/1.1\nHost: x")
            assert (passed, body) == (status, b"portico")
        hidden, _, hidden_body = await answered(port, "GET /metrics HTTP/1.1\nHost: x")
        away, headers, away_body = await answered(port, "POST /broken HTTP/1.1\nHost: x\nX-Request-ID: a b")
        odd = json.loads((await answered(port, 'POST /broken/"%22%0a HTTP/1.1\nHost: x'))[2])

    assert (hidden, json.loads(hidden_body)["code"]) == (404, "not_found")
    assert (away, headers["retry-after"], headers["content-type"]) == (503, "5", "application/json")
    error = json.loads(away_body)
    assert error.keys() == {"success", "message", "code", "path", "request_id"}
    assert (error["code"], error["path"], error["request_id"]) == ("unavailable", "/broken", headers["x-request-id"])
    assert re.fullmatch("[0-9a-f]{32}", error["request_id"])
    assert (odd["code"], odd["path"]) == ("unavailable", "")
