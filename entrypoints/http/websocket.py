"""One WebSocket: what comes in is bounded, what goes out waits in its own send queue, and its end is logged."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from application.correlation import request_id
from application.realtime import Connection
from application.send_queue import Ending, SendQueue
from entrypoints.metrics import Metrics

Close = tuple[int, str]
"""The code (RFC 6455 section 7.4, and the IANA registry) and a reason for people."""

NOT_ALLOWED: Final = 1008
UNSUPPORTED: Final[Close] = (1003, "Only text is understood here")
FAILED: Final[Close] = (1011, "Something went wrong")
CLOSES: Final[Mapping[Ending, Close]] = {
    Ending.NOT_ALLOWED: (NOT_ALLOWED, "Signed out, or the access token has ended"),
    Ending.TOO_MUCH: (NOT_ALLOWED, "More than 50 messages in a second"),
    Ending.TOO_SLOW: (1013, "Too many messages wait to be read"),
}
MOST_A_SECOND: Final = 50
"""Messages that one connection may send."""

log = structlog.get_logger("portico.websockets")


class CloseWith(Exception):
    """Ends the connection with this code."""

    def __init__(self, close: Close) -> None:
        super().__init__(close)
        self.close = close


class Socket:
    def __init__(self, scope: Scope, receive: Receive, send: Send, metrics: Metrics) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._metrics = metrics
        self._started = perf_counter()
        self._code: int | None = None
        self._user_id: int | None = None

    async def refuse(self, response: Response) -> None:
        """Answer the handshake with an error, under the headers that every answer has."""
        await self._receive()  # the handshake itself
        seconds = perf_counter() - self._started
        response.headers["X-Request-ID"] = request_id.get() or ""
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Process-Time"] = f"{seconds * 1000:.2f}"
        response.headers["X-Response-Time"] = f"{seconds:.5f}"
        if "websocket.http.response" in self._scope.get("extensions", {}):
            await response(self._scope, self._receive, self._send)
        else:
            await self._send({"type": "websocket.close", "code": NOT_ALLOWED})
        self._conclude(status=response.status_code)

    async def accept(self, subprotocol: str | None, headers: list[tuple[bytes, bytes]]) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers})

    async def close(self, close: Close) -> None:
        """End the connection from here."""
        self._code, reason = close
        await self._send({"type": "websocket.close", "code": self._code, "reason": reason})

    async def turn_away(self, close: Close) -> None:
        """End a connection that never began."""
        await self.close(close)
        self._conclude(code=self._code)

    async def serve(self, connection: Connection, handle: Callable[[str | bytes], Awaitable[None]]) -> None:
        """Hand in what comes, one after the other, and send what the send queue has, until either side ends it."""
        self._user_id = connection.actor.user.id
        self._metrics.websockets.inc()
        send_queue = connection.send_queue
        writing = asyncio.create_task(self._write(send_queue), name="websocket writer")
        send_queue.interrupt = writing.cancel
        try:
            await self._read(send_queue, handle)
        except CloseWith as end:
            await self.close(end.close)
        except Exception as error:
            log.error("websocket failed", exc_info=error)
            await self.close(FAILED)
        finally:
            send_queue.interrupt = None
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            self._metrics.websockets.dec()
            self._conclude(code=self._code)

    async def _read(self, send_queue: SendQueue, handle: Callable[[str | bytes], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        times: deque[float] = deque(maxlen=MOST_A_SECOND)
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._code = self._code or message.get("code")
                return
            if send_queue.ending is not None:
                continue
            now = loop.time()
            if len(times) == MOST_A_SECOND and now - times[0] < 1:
                send_queue.end(Ending.TOO_MUCH)
                continue
            times.append(now)
            text = message.get("text")
            await handle(message["bytes"] if text is None else text)

    async def _write(self, send_queue: SendQueue) -> None:
        try:
            while (text := await send_queue.take()) is not None:
                await self._send({"type": "websocket.send", "text": text})
        except asyncio.CancelledError:
            if send_queue.ending is None:
                raise
        except OSError:  # it is gone, as the reader is told, too
            return
        assert send_queue.ending is not None  # else there is always something to wait for
        await self.close(CLOSES[send_queue.ending])

    def _conclude(self, **outcome: int | None) -> None:
        client = self._scope["client"]
        log.info(
            "websocket",
            path=self._scope["path"],
            **outcome,
            duration_ms=round((perf_counter() - self._started) * 1000, 2),
            client=client[0] if client else None,
            user_id=self._user_id,
        )


def header(scope: Scope, name: bytes) -> list[str]:
    """What the handshake says under this name."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
