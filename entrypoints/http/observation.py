"""What every request gets: an id, headers, a log line and a count; and an answer whatever happens."""

import asyncio
import re
from time import perf_counter
from typing import Final
from uuid import uuid4

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from application.correlation import request_id
from domain.errors import Unavailable
from entrypoints.http.errors import (
    MOST_HEADER_BYTES,
    RequestError,
    answer_to,
    error_response,
    headers_too_large,
    internal_error,
)
from entrypoints.metrics import Metrics

REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

DOCUMENTATION: Final = ("/docs", "/redoc")
DOCUMENTATION_POLICY: Final = (
    b"default-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:; frame-ancestors 'none'"
)
"""What these pages may load: all of it comes from here, though one of them would fetch a logo from its makers."""

log = structlog.get_logger("portico.requests")


class Observation:
    """The outermost layer, but for the one that believes proxies.

    `api` is the path under which the API is; `collections` maps a collection's path without the slash at its end to the
    one with it, which answers both.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, api: str, collections: dict[str, str]) -> None:
        self._app = app
        self._metrics = metrics
        self._api = api + "/"
        self._collections = collections
        self._private = tuple(f"{api}/{noun}" for noun in ("auth", "users"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        path = scope["path"]
        current = request_id_in(scope)
        token = request_id.set(current)
        headers = [(b"x-request-id", current.encode()), *self._headers(path)]
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                seconds = perf_counter() - started
                present = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in headers if header[0] not in present),
                    (b"x-process-time", b"%.2f" % (seconds * 1000)),
                    (b"x-response-time", b"%.5f" % seconds),
                ]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            if collection := self._collections.get(path):
                scope["asked_path"], scope["path"] = path, collection
            await self._app(scope, receive, send_observed)
        finally:
            self._metrics.in_flight.dec()
            self._conclude(scope, path, status, perf_counter() - started)
            request_id.reset(token)

    def _headers(self, path: str) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
        if path.startswith(self._private):
            headers.append((b"cache-control", b"no-store"))
        elif path.startswith(self._api):
            headers.append((b"cache-control", b"private, no-cache"))
        elif path.startswith(DOCUMENTATION):
            headers.append((b"content-security-policy", DOCUMENTATION_POLICY))
        return headers

    def _conclude(self, scope: Scope, path: str, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.answered(method, route, status, seconds)
        log.info(
            "request",
            method=scope["method"],
            path=path,
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            client=scope["client"][0] if scope["client"] else None,
            user_id=scope.get("user_id"),
        )


class Rescue:
    """Next to the app: what fails in it, what it shouldn't see, and what is given up because the server stops, is
    answered here, so that the answer passes through all layers further out as any other does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
            await _answered(headers_too_large(), scope)(scope, receive, send)
            return
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:  # the server has waited for it as long as it does
            if begun:
                raise
            await (await answer_to(Request(scope), Unavailable()))(scope, receive, send)
        except Exception as error:
            log.error("request failed", exc_info=error)
            if not begun:
                await _answered(internal_error(), scope)(scope, receive, send)


def _answered(error: RequestError, scope: Scope) -> Response:
    return error_response(Request(scope), error.status_code, error.code, error.detail)


def request_id_in(scope: Scope) -> str:
    """The client's own id for the request if it is one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if REQUEST_ID.fullmatch(value):
                return str(value, "ascii")
            break
    return uuid4().hex
