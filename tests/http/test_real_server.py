"""What only a real server shows: bytes that no client library would send.

One deployment will do: nearly all of it is refused before any part is asked.
"""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from uvicorn import Config
from uvicorn.server import ServerState

from application.files import Content
from entrypoints.http.content import serve
from entrypoints.http.http_protocol import HttpConnection
from tests.fakes.parts import SettableClock
from tests.fakes.storage import InMemoryBlobStore
from tests.faults.processes import Process, command, register, serving
from tests.running_app import Mailbox, eventually

JSON_POST = b"POST /api/v1/users/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def portico(tmp_path: Path) -> AsyncIterator[Process]:
    async with serving(tmp_path / "data", MAIL_BACKEND="file", PUBLIC_URL="https://portico.example") as process:
        yield process


async def answer_to(portico: Process, sent: bytes) -> tuple[int, Message, Any]:
    """Status, headers and JSON body of what the server answers to these bytes."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", portico.port)
        with closing(writer):
            writer.write(sent)
            first, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            headers = BytesHeaderParser().parsebytes(rest)
            body = await reader.readexactly(int(headers["Content-Length"]))
    return int(first.split()[1]), headers, json.loads(body)


async def test_what_is_no_http_gets_the_same_error_body_as_all_else(portico: Process) -> None:
    for sent in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET /health/live HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /health/live secret HTTP/1.1\r\nHost: a\r\n\r\n",
        b"SECRET /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nUser-Agent: secret\x00\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nUser-Agent: secret\r\n folded\r\n\r\n",
        "GET /sécret HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
        JSON_POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        JSON_POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        JSON_POST + b"Content-Length: -2\r\n\r\n{}",
        JSON_POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        JSON_POST + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n{}\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /health/live HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
    ):
        status, headers, body = await answer_to(portico, sent)

        assert (status, body["code"], body["success"]) == (400, "bad_request", False), sent
        assert body["request_id"] == headers["X-Request-ID"]
        assert body.keys() == {"success", "message", "code", "path", "request_id"}
        assert (headers["X-Content-Type-Options"], headers["Connection"]) == ("nosniff", "close")
        assert "secret" not in str(body).lower()
    assert "Traceback" not in portico.errors
    assert "secret" not in portico.errors.lower()


async def test_before_http_1_1_there_need_be_no_host(portico: Process) -> None:
    status, _, _ = await answer_to(portico, b"GET /health/live HTTP/1.0\r\n\r\n")

    assert status == 200


async def test_a_target_of_64_kilobytes_is_refused_as_such(portico: Process) -> None:
    for target in (b"/" + b"x" * 65_535, b"/?" + b"x" * 200_000):
        status, headers, body = await answer_to(portico, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")

        assert (status, body["code"]) == (414, "uri_too_long")
        assert body["request_id"] == headers["X-Request-ID"]
    status, _, body = await answer_to(portico, b"GET /" + b"x" * 65_534 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, body["code"]) == (404, "not_found")


async def test_what_is_refused_before_the_app_is_asked_has_a_line_in_the_log(portico: Process) -> None:
    known = b"GET /health/l%69ve?secret HTTP/1.1\r\nHost: a\r\nX-Request-ID: "
    for sent, status, request_id, method, path in (
        (known + b"one\r\nA: \0\r\n\r\n", 400, "one", "GET", "/health/live"),
        (known + b"two\r\nA: " + b"x" * 200_000, 431, "two", "GET", "/health/live"),
        (known.replace(b"Host", b"Hast") + b"three\r\n\r\n", 400, "three", "GET", "/health/live"),
        (b"GET http://secret:secret@a/health/live HTTP/1.1\r\nA: b\r\n\r\n", 400, None, "GET", "/health/live"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, None, None, None),
        (b"secret\r\n\r\n", 400, None, None, None),
    ):
        answered, _, body = await answer_to(portico, sent)
        lines = [json.loads(line) for line in portico.errors.splitlines()]
        (line,) = [each for each in lines if each.get("request_id") == body["request_id"]]

        assert answered == status
        assert request_id in (None, body["request_id"])
        assert (line["event"], line["level"]) == ("request", "info")
        assert (line["method"], line["path"], line["status"]) == (method, path, status)
        assert (line["client"], line["route"], line["user_id"]) == ("127.0.0.1", "unmatched", None)
    assert "secret" not in portico.errors


async def test_64_kilobytes_of_headers_are_refused_in_words(portico: Process) -> None:
    for padding in (b"X-Padding: " + b"x" * 65_536, b"\r\n".join(b"X-%d: x" % number for number in range(10_000))):
        sent = b"GET /health/live HTTP/1.1\r\nHost: a\r\n" + padding + b"\r\n\r\n"
        status, headers, body = await answer_to(portico, sent)

        assert (status, body["code"]) == (431, "headers_too_large")
        assert body["request_id"] == headers["X-Request-ID"]


async def test_headers_that_never_end_are_refused_while_they_come(portico: Process) -> None:
    status, _, body = await answer_to(portico, b"GET / HTTP/1.1\r\nHost: a\r\nX-Padding: " + b"x" * 200_000)

    assert (status, body["code"]) == (431, "headers_too_large")


class ImpatientForHead(HttpConnection):
    head_seconds = 0.05


class ImpatientForRest(HttpConnection):
    rest_seconds = 0.05


@asynccontextmanager
async def served(app: Any, kind: type[HttpConnection]) -> AsyncIterator[tuple[tuple[str, int], ServerState]]:
    """Where that app is served by connections of this kind, for a minute at most, and what is connected."""
    config, state = Config(app, interface="asgi3", log_config=None), ServerState()
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(config, state, {}), "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        yield server.sockets[0].getsockname(), state


async def test_a_client_that_never_finishes_its_headers_is_not_waited_for() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("no request has come")

    async with served(app, ImpatientForHead) as (address, _):
        for sent in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n"):
            reader, writer = await asyncio.open_connection(*address)
            with closing(writer):
                writer.write(sent)
                assert await reader.read() == b""


async def test_a_client_that_never_finishes_a_refused_body_is_not_waited_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with served(app, ImpatientForRest) as (address, _):
        reader, writer = await asyncio.open_connection(*address)
        with closing(writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
            writer.write(b"some more")
            with suppress(ConnectionError):  # it may have been closed before that came
                assert await reader.read() == b""


async def test_a_refused_body_that_comes_to_its_end_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    real_time = loop.time

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":  # it lasts longer than the rest of the body before might take
            monkeypatch.setattr(loop, "time", lambda: real_time() + 2 * HttpConnection.rest_seconds)
            for _ in range(10):
                await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with served(app, HttpConnection) as (address, _):
        reader, writer = await asyncio.open_connection(*address)
        with closing(writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"bodyGET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")


class Unread(HttpConnection):
    taking_seconds = 0.2


class UnreadAtLast(HttpConnection):
    last_taking_seconds = 0.2


@contextmanager
def asking_without_reading(address: tuple[str, int], more: bytes = b"") -> Iterator[None]:
    """A client that asks, and takes next to nothing of the answer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(address)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + more + b"\r\n")
        yield


async def test_a_client_that_does_not_read_on_ends_its_download(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()
    size = 32 * 1024 * 1024
    content = Content(
        "0" * 64, size, "text/plain", "a", InMemoryBlobStore(SettableClock(), blobs={"0" * 64: bytes(size)})
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await serve(Request(scope), content)(scope, receive, send)
        ended.set()

    async with served(app, Unread) as (address, state):
        with asking_without_reading(address):
            await ended.wait()
            await eventually(lambda: not state.connections)

    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("stops", [False, True])
async def test_a_client_that_does_not_read_keeps_no_connection_that_is_to_end(stops: bool) -> None:
    closed = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = 32 * 1024 * 1024
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(size).encode())]})
        await send({"type": "http.response.body", "body": bytes(size)})
        closed.set()

    async with served(app, UnreadAtLast if stops else Unread) as (address, state):
        with asking_without_reading(address, b"Connection: close\r\n"):
            await closed.wait()
            if stops:
                for connection in list(state.connections):
                    connection.shutdown()
            await eventually(lambda: not state.connections)


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(portico: Process) -> None:
    for more in (b"", b"Expect: 100-continue\r\n"):
        status, _, body = await answer_to(portico, JSON_POST + more + b"Content-Length: 1048577\r\n\r\n")

        assert (status, body["code"]) == (413, "body_too_large")


async def test_any_path_of_bytes_is_simply_not_found(portico: Process) -> None:
    for path in (b"/api/v1/%ff%ed%a0%80", b"/api/v1/a%00b", b"/api/v1/..%2f..%2fetc%2fpasswd", b"//evil.example/"):
        status, _, body = await answer_to(portico, b"GET " + path + b"?secret HTTP/1.1\r\nHost: a\r\n\r\n")

        assert (status, body["code"]) == (404, "not_found"), path
        assert "secret" not in body["path"]
    assert "secret" not in portico.errors


async def test_a_forged_host_is_in_no_answer_and_in_no_mail(portico: Process, tmp_path: Path) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    new = {"email": "bob@example.org", "password": "Correct-Horse-42"}
    async with portico.client() as client:
        await register(client, "ada@example.org")
        asked = await client.post("/auth/password/forgot", json={"email": "ada@example.org"}, headers=forged)
        created = await client.post("/users/", json=new, headers=forged)
    mailbox = Mailbox(tmp_path / "data" / "mail")
    mails = [*await mailbox.received("ada@example.org", 2), *await mailbox.received("bob@example.org")]

    assert (asked.status_code, created.status_code) == (202, 201)
    assert created.headers["Location"] == f"/api/v1/users/{created.json()['id']}"
    for mail in mails:
        assert "evil.example" not in mail.as_string()
        part = mail.get_body(("plain",))
        assert part is not None
        links = re.findall(r"\S+token=", part.get_content())
        assert links
        assert all(link.startswith("https://portico.example/") for link in links)


async def test_two_processes_on_sqlite_are_refused_before_anything_is_opened(tmp_path: Path) -> None:
    status, output, errors = await command(tmp_path / "data", "serve", "--workers", "2")

    assert (status, output, len(errors.splitlines())) == (2, "", 1)
    assert not (tmp_path / "data" / "portico.db").exists()
