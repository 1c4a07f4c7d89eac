"""A partner's API for tests, on a real socket: it answers as it is told, in every way that goes wrong too."""

import asyncio
import json
import socket
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

Act = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What the server does with one request. The connection is closed once it returns, but after a whole answer."""


def gives(value: Any) -> Act:
    """A whole answer with this JSON."""
    return says(200, json.dumps(value).encode())


def says(status: int, body: bytes = b"{}", **headers: str) -> Act:
    """A whole answer. Headers are written with `_` for `-`."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(_head(status, Content_Length=str(len(body)), **headers) + body)

    return act


async def drops(writer: asyncio.StreamWriter) -> None:
    """The connection is cut instead of an answer."""
    writer.transport.abort()


async def halves(writer: asyncio.StreamWriter) -> None:
    """Half an answer comes, then the connection ends."""
    writer.write(_head(200, Content_Length="100") + b'{"half": ')
    await writer.drain()
    writer.close()


async def lies(writer: asyncio.StreamWriter) -> None:
    """The answer is longer than it says, so what is read of it is no JSON."""
    writer.write(_head(200, Content_Length="5") + b'{"longer": true}')
    await writer.drain()
    writer.close()


async def is_silent(writer: asyncio.StreamWriter) -> None:
    """Says nothing, ever."""
    await asyncio.Event().wait()


async def never_ends(writer: asyncio.StreamWriter) -> None:
    """Data without an end, until the client has enough of it."""
    writer.write(_head(200, Connection="close") + b'"')
    with suppress(ConnectionError):
        while not writer.transport.is_closing():
            writer.write(b"a" * 65536)
            await writer.drain()


async def talks_nonsense(writer: asyncio.StreamWriter) -> None:
    """What is no HTTP at all."""
    writer.write(b"SSH-2.0-nonsense\r\n")
    await writer.drain()
    writer.close()


def _head(status: int, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class PartnerServer:
    """`acts` are what each path does, one after the other; the last of them is done again and again.

    A path without any gives its own path back. `asked` counts the requests to each path.
    """

    acts: dict[str, list[Act]] = field(default_factory=dict)
    latency: float = 0
    """Seconds before each answer."""
    asked: Counter[str] = field(default_factory=Counter)
    headers: dict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Of every request to a path."""
    connections: int = 0
    """How many there have been."""
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/partner"

    async def holds(self, writer: asyncio.StreamWriter) -> None:
        """Says nothing until `release`, then what it is asked for."""
        await self._released.wait()
        await gives("held")(writer)

    def release(self) -> None:
        self._released.set()

    async def until(self, condition: Callable[[], bool], timeout: float = 60) -> None:
        """Return once it holds, looked at whenever something was asked."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        self.connections += 1
        try:
            # Python 3.11's streams ask a task that was cancelled for its exception, and so raise another one
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.transport.is_closing():
                    await self._answer((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"), writer)
        finally:
            writer.transport.abort()
            self._under_way.discard(task)

    async def _answer(self, request: str, writer: asyncio.StreamWriter) -> None:
        first, *lines = request.strip().split("\r\n")
        path = first.split(" ")[1].removeprefix("/partner")
        acts = self.acts.get(path, [gives(path)])
        act = acts[min(self.asked[path], len(acts) - 1)]
        self.asked[path] += 1
        self.headers[path].append({name.lower(): value for name, _, value in (line.partition(": ") for line in lines)})
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._news.set()
        try:
            await asyncio.sleep(self.latency)
            await act(writer)
            if not writer.transport.is_closing():
                await writer.drain()
        finally:
            self.at_once -= 1
            self._news.set()

    async def end(self) -> None:
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


@asynccontextmanager
async def partner_server(**options: Any) -> AsyncIterator[PartnerServer]:
    """A server on a free port of 127.0.0.1."""
    partner = PartnerServer(**options)
    server = await asyncio.start_server(partner.serve, "127.0.0.1", 0)
    partner.port = server.sockets[0].getsockname()[1]
    try:
        yield partner
    finally:
        server.close()
        await partner.end()
        await server.wait_closed()


@contextmanager
def nobodys_address() -> Iterator[str]:
    """Where nobody listens, nor will meanwhile."""
    with socket.socket() as reservation:
        reservation.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reservation.getsockname()[1]}"
