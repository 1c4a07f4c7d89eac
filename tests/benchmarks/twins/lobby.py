"""A lobby as one writes it by hand with Starlette: a queue and a writer for each client."""

import asyncio
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

queues: set[asyncio.Queue[str]] = set()


async def lobby(socket: WebSocket) -> None:
    await socket.accept()
    queue: asyncio.Queue[str] = asyncio.Queue(1000)
    queues.add(queue)

    async def write() -> None:
        while True:
            await socket.send_text(await queue.get())

    writing = asyncio.create_task(write())
    client_id = socket.path_params["client_id"]
    with suppress(WebSocketDisconnect):
        while True:
            text = f"Client {client_id}: {await socket.receive_text()}"
            for other in queues:
                other.put_nowait(text)
    queues.remove(queue)
    writing.cancel()


async def health(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/health", health), WebSocketRoute("/ws/{client_id:int}", lobby)])
