"""A crowd of WebSocket clients that cost next to nothing: they count bytes, since every message is of one length."""

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2

from tests.benchmarks.servers import Server

TEXT_BYTES: Final = 200
HANDSHAKE: Final = (
    "GET /ws/{client_id} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n"
)
CLIENT_ID: Final = "1000001"
"""The same for all, so that every message that comes has the same length."""
FRAME_BYTES: Final = TEXT_BYTES + len(f"Client {CLIENT_ID}: ") + 4
SECONDS: Final = 60.0


class CrowdFailed(Exception):
    """A client was not let in, or cut off."""


class Member(asyncio.Protocol):
    """One client. It notes when each message had come to it."""

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self._head = b""
        self._bytes = 0
        self.messages = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(HANDSHAKE.format(client_id=CLIENT_ID, token=self._crowd.token).encode())

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.ready.set_exception(CrowdFailed(head.decode("latin-1")))
                return
            self.ready.set_result(None)
        self._bytes += len(data)
        whole = self._bytes // FRAME_BYTES
        if whole > self.messages:
            now = time.perf_counter()
            for number in range(self.messages, whole):
                self._crowd.came(number, now)
            self.messages = whole

    def say(self) -> None:
        """Send one message. A mask of zeros is a mask."""
        self.transport.write(
            b"\x81" + bytes([0x80 | 126]) + TEXT_BYTES.to_bytes(2, "big") + b"\0\0\0\0" + b"x" * TEXT_BYTES
        )


class Crowd:
    """`latencies` are those of every delivery, in milliseconds, counted from the sending of the message."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.members: list[Member] = []
        self.latencies: list[float] = []
        self.deliveries = 0
        self.listening = 0
        self._sent: list[float] = []
        self._wanted = 0
        self._reached = asyncio.Event()

    def came(self, number: int, now: float) -> None:
        self.deliveries += 1
        self.latencies.append((now - self._sent[number]) * 1000)
        if self.deliveries >= self._wanted:
            self._reached.set()

    async def delivered(self, deliveries: int) -> None:
        """Return once there were so many."""
        self._wanted = deliveries
        if self.deliveries < deliveries:
            self._reached.clear()
            async with asyncio.timeout(SECONDS):
                await self._reached.wait()

    async def say(self, messages: int, *, at_once: int) -> float:
        """Each in turn says something, with so many messages under way at most. Seconds until all had come to all."""
        started = time.perf_counter()
        for number in range(messages):
            await self.delivered((number - at_once + 1) * self.listening)
            self._say(number)
        await self.delivered(messages * self.listening)
        return time.perf_counter() - started

    async def say_evenly(self, messages: int, per_second: float) -> None:
        """So many, at an even pace."""
        started = time.perf_counter()
        for number in range(messages):
            await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            self._say(number)
        await self.delivered(messages * self.listening)

    def _say(self, number: int) -> None:
        self._sent.append(time.perf_counter())
        self.members[number % self.listening].say()


@asynccontextmanager
async def crowd_at(server: Server, token: str, size: int, *, deaf: int = 0) -> AsyncIterator[Crowd]:
    """So many clients in the lobby; the last `deaf` of them read nothing, with as small a buffer as there is."""
    crowd = Crowd(token)
    loop = asyncio.get_running_loop()
    try:
        for number in range(size):
            tcp = socket.socket()
            if number >= size - deaf:
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            tcp.setblocking(False)
            await loop.sock_connect(tcp, ("127.0.0.1", server.port))
            _, member = await loop.create_connection(lambda: Member(crowd), sock=tcp)
            await asyncio.wait_for(member.ready, SECONDS)
            crowd.members.append(member)
            if number >= size - deaf:
                member.transport.pause_reading()
        crowd.listening = size - deaf
        yield crowd
    finally:
        for member in crowd.members:
            member.transport.abort()
        await _forgotten(server)


async def _forgotten(server: Server) -> None:
    """Return once Portico has noticed that they are gone: those who come next must not be told of it."""
    async with httpx2.AsyncClient() as http, asyncio.timeout(SECONDS):
        while (answer := await http.get(f"{server.url}/metrics")).status_code == 200:
            if "portico_websocket_connections 0.0" in answer.text:
                return
            await asyncio.sleep(0.1)


def raise_file_limit(wanted: int) -> None:
    """Let this process and those it starts hold so many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
