"""Peers that are gone without a word: they answer no ping, and take nothing that is sent to them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
import uvicorn

from entrypoints.http.websocket_protocol import WebSocketConnection

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    """The port of a server of this app, which pings its WebSockets several times a second."""
    config = uvicorn.Config(
        app,
        ws=WebSocketConnection,
        lifespan="off",
        log_config=None,
        ws_ping_interval=0.1,
        ws_ping_timeout=0.1,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # so that nobody is turned away before the server is there
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


@pytest.mark.parametrize("sends", [False, True])
async def test_a_peer_that_is_gone_is_noticed_whether_anything_waits_for_it_or_not(sends: bool) -> None:
    ended = asyncio.Event()

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while sends:
                await send({"type": "websocket.send", "text": "x" * 60_000})
            assert (await receive())["type"] == "websocket.disconnect"
        except OSError:
            pass
        finally:
            ended.set()

    async with served(app) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        with closing(writer):
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            await ended.wait()
