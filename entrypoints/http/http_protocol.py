"""A client's connection: what is no HTTP, too large or never ends is refused before the app is asked."""

import asyncio
import json
from http import HTTPStatus
from types import SimpleNamespace
from typing import Final
from urllib.parse import unquote
from uuid import uuid4

import structlog
from httptools import HttpParserInvalidURLError, parse_url
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from application.correlation import request_id
from entrypoints.http.observation import request_id_in

LARGEST_HEAD: Final = 64 * 1024
"""Bytes that wait for the end of a request's headers. The app takes fewer, once they have ended."""
LONGEST_TARGET: Final = 64 * 1024 - 1
"""Bytes of a request's target: longer ones the parser doesn't take apart."""
LEAST_TAKEN: Final = 256 * 1024
"""Bytes that a client must take in `taking_seconds` of what waits for it, if so many wait."""
LINGER_SECONDS: Final = 2.0
"""How long a refused client is still listened to: closed at once, it might not see why it was refused."""
LAST_SECONDS: Final = 0.5
"""How long a client that is connected while the server stops has until the end of its request's headers."""

log = structlog.get_logger("portico.requests")


def refusal(code: str, message: str, current: str | None = None) -> tuple[list[tuple[str, str]], bytes]:
    """The headers and the body of an answer that the app is not asked for, and that ends the connection.

    `current` is the id of the request, if it has one.
    """
    current = current or uuid4().hex
    error = {"success": False, "message": message, "code": code, "path": "", "request_id": current}
    body = json.dumps(error, separators=(",", ":")).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Request-ID", current),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Process-Time", "0.00"),
        ("X-Response-Time", "0.00000"),
        ("Connection", "close"),
    ]
    return headers, body


class _Refused(Exception):
    """Ends the parsing of what is refused."""


class HttpConnection(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with bounds, and with errors in the shape that all others have."""

    head_seconds = 30.0
    """How long a client may take until the end of its headers."""
    rest_seconds = 10.0
    """How long a client may go on with a body that was refused before it had come. What comes is thrown away."""
    taking_seconds = 120.0
    """How long a client may take for what waits for it before it is cut off."""
    last_taking_seconds = 5.0
    """How long it may take nothing of it while the server stops."""
    url = b""
    _in_message = False
    _in_head = True
    _waiting = 0
    _refused = False
    _is_last = False
    _deadline: asyncio.TimerHandle | None = None
    _end_of_rest: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None
    _outgoing: SimpleNamespace
    """The transport as answers see it: when they close it, the connection ends."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._outgoing = SimpleNamespace(write=transport.write, is_closing=transport.is_closing, close=self._end)
        self._deadline = self.loop.call_later(self.head_seconds, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        self._meet_deadline()
        self._rest_is_over()
        self._expect_nothing()
        self._outgoing.close = self.transport.close  # what refers to itself, only the garbage collector takes away
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if not self._in_head:
            self._meet_deadline()
            return
        self._waiting += len(data)
        if self._waiting - len(self.url) > LARGEST_HEAD:
            self._refuse(431, "headers_too_large", f"The headers exceed {LARGEST_HEAD} bytes")
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._end)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._waiting = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_TARGET:
            self._refuse(414, "uri_too_long", f"The target of the request exceeds {LONGEST_TARGET} bytes")
            raise _Refused

    def on_headers_complete(self) -> None:
        self._in_head = False
        hosts = [name for name, _ in self.headers].count(b"host")
        if hosts != 1 and (hosts > 1 or self.parser.get_http_version() == "1.1"):  # RFC 9112 section 3.2
            raise _Refused
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = self._outgoing  # type: ignore[assignment]  # all of it that is used
            if self._is_last:
                self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Finish what is under way. A request that may be on its way is waited for a moment, and is the last one."""
        self._is_last = True
        if self.transport.is_closing():
            self._expect(self.last_taking_seconds, 1)
        elif self._is_idle:
            self.loop.call_later(LAST_SECONDS, self._close_if_idle)
        else:
            super().shutdown()

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._is_idle:
            self._end()

    def timeout_keep_alive_handler(self) -> None:
        self._end()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect(self.taking_seconds, LEAST_TAKEN)

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._expect_nothing()

    def _end(self) -> None:
        """Close, once the client has taken what was sent. One that doesn't take it is cut off."""
        self.transport.close()
        if self._is_last:
            self._expect(self.last_taking_seconds, 1)
        else:
            self._expect(self.taking_seconds, LEAST_TAKEN)

    def _expect(self, seconds: float, least: int) -> None:
        """Cut the client off unless it takes so many bytes in that time, or all that wait for it; and so on."""
        self._expect_nothing()
        if waiting := self.transport.get_write_buffer_size():
            self._taking = self.loop.call_later(seconds, self._look, seconds, least, waiting)

    def _look(self, seconds: float, least: int, before: int) -> None:
        if before - self.transport.get_write_buffer_size() >= min(least, before):
            self._expect(seconds, least)
            return
        log.info("a client that took too little was cut off", client=self.client[0] if self.client else None)
        self.transport.abort()

    def _expect_nothing(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle is not None and self.cycle.more_body:
            self._end_of_rest = self.loop.call_later(self.rest_seconds, self._end)

    def on_message_complete(self) -> None:
        self._rest_is_over()
        self._in_message = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, in plain text
        self._refuse(400, "bad_request", "The request is not valid HTTP")

    def _write_down(self, status: int, current: str) -> None:
        """The log line, as any other request has it."""
        method, path = self._asked_for()
        token = request_id.set(current)
        log.info(
            "request",
            method=method,
            path=path,
            route="unmatched",
            status=status,
            duration_ms=0.0,
            client=self.client[0] if self.client else None,
            user_id=None,
        )
        request_id.reset(token)

    def _asked_for(self) -> tuple[str | None, str | None]:
        """The method and the path, if they are known: after the first header, since a target may be cut off before."""
        if not self._in_message or not self.headers:
            return None, None
        method = self.parser.get_method().decode("ascii")
        try:
            return method, unquote((parse_url(self.url).path or b"").decode("ascii"))
        except (HttpParserInvalidURLError, UnicodeDecodeError):
            return method, None

    def _meet_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _rest_is_over(self) -> None:
        if self._end_of_rest is not None:
            self._end_of_rest.cancel()
            self._end_of_rest = None

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer, and close once the client had the time to read it. What was asked for may not be known: no path."""
        if self._refused:
            return
        self._refused = True
        self._meet_deadline()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # nobody hears what the app still says
            self.cycle.message_event.set()
        current = request_id_in({"headers": self.headers}) if self._in_message else uuid4().hex
        self._write_down(status, current)
        headers, body = refusal(code, message, current)
        head = (f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers))
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self._end)
