"""A WebSocket as uvicorn speaks it, with bounds on those who don't read, and without a word in the log."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN

from entrypoints.http.http_protocol import refusal

CLOSING_SECONDS: Final = 5.0
"""How long the other side has to take what was sent before the close, and to answer it."""
LINGER_SECONDS: Final = 2.0
"""How long one who broke the protocol is still listened to: cut off at once, it might not see why."""
MOST_UNSENT_PONGS: Final = 256 * 1024
"""Bytes that wait for one who asks without listening."""
MOST_FRAGMENTS: Final = 1024

REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    405: ("method_not_allowed", "Method not allowed"),
    426: ("upgrade_required", "Only WebSockets are spoken here"),
    500: ("internal_error", "Something went wrong on our side"),
}
"""Code and message of a handshake that ends with this status, if it isn't just one that is broken."""

silent = logging.getLogger("portico.websockets.silent")
"""uvicorn would log each connection with its query string, where the token is, and what broken clients send."""
silent.setLevel(logging.CRITICAL + 1)


def _rejected(status: int, text: str) -> Response:  # noqa: ARG001 - plain, and with what the client sent
    headers, body = refusal(*REFUSALS.get(status, ("bad_request", "The WebSocket handshake is not valid")))
    return Response(int(status), HTTPStatus(status).phrase, Headers(headers), body)


class WebSocketConnection(WebSocketsSansIOProtocol):
    _end_timer: Any = None
    _is_broken = False
    """Whether the other side broke the protocol and was told. Frames that came along with the one that did are still
    handed in, and nothing more may be written."""
    _last_sent: tuple[str, bytes] = ("", b"")
    """A text, and the frame that it is in. What goes to many is framed once: frames to clients carry no mask."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = silent
        self.conn.logger = silent
        self.conn.debug = False
        self.conn.reject = _rejected  # type: ignore[method-assign]  # errors in the shape that all others have

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._is_broken:
            super().data_received(data)

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send" and message.get("text") is not None and self._is_open():
            if not self.writable.is_set():
                await self.writable.wait()
            if self._is_open():
                self.transport.write(self._framed(message["text"]))
                return
        if message["type"] == "websocket.close" and self.handshake_complete:
            self.writable.set()  # whoever reads too slowly is not waited for
            await super().send(message)
            self._end_within(CLOSING_SECONDS)
            return
        await super().send(message)

    def _is_open(self) -> bool:
        return self.handshake_complete and not self.disconnected and not self.close_sent and self.conn.state is OPEN

    @classmethod
    def _framed(cls, text: str) -> bytes:
        if cls._last_sent[0] is not text:
            cls._last_sent = (text, Frame(Opcode.TEXT, text.encode()).serialize(mask=False))
        return cls._last_sent[1]

    def send_receive_event_to_app(self) -> None:
        with suppress(InvalidState):  # text that is no UTF-8, and right behind it a close, which is answered instead
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        if self._is_broken:
            return
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MOST_UNSENT_PONGS:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        if self._is_broken:
            return
        super().handle_cont(event)
        if len(self.frames) > MOST_FRAGMENTS:
            self.conn.fail(1008, "too many fragments")
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Say what is wrong, and take no more notice, but leave the other side the time to hear it."""
        self._is_broken = True
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._go_on_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_within(LINGER_SECONDS)

    def eof_received(self) -> None:
        if self._is_broken:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._end_within(0)  # what still waits to be sent would keep the connection for many minutes

    def shutdown(self) -> None:
        """The server stops: say so, and leave the other side the time to hear it."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1012})
        self.conn.send_close(1012)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._go_on_reading()
        self.close_timer = self.loop.call_later(CLOSING_SECONDS, self.transport.abort)

    def on_task_complete(self, task: Any) -> None:
        super().on_task_complete(task)
        self._end_within(CLOSING_SECONDS)

    def _go_on_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _end_within(self, seconds: float) -> None:
        if self._end_timer is None or seconds == 0:
            self._end_timer = self.loop.call_later(seconds, self.transport.abort)
