"""The partner's API over HTTP (RFC 9110), by one client with pooled connections."""

import asyncio
import email.utils
import json
import logging
import math
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from adapters.partner.attempts import Broken, Endless, Failed, Hurried
from adapters.partner.breaker import Breaker
from application.correlation import request_id, traceparent
from domain.partner import ExternalApiError, ExternalServiceUnavailable

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

LARGEST: Final = 10 * 1000 * 1000
"""Bytes of an answer."""
PAUSES: Final = (0.1, 0.4)
"""Seconds before the second attempt and the third, give or take half of it; the partner may ask for longer ones."""
HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "Portico"}
"""Not compressed: a few bytes could become gigabytes."""

log = logging.getLogger(__name__)


class HttpPartner:
    """Implements `Partner`.

    `timeout` are the seconds of a whole call: waiting for one of the `concurrency` places, every attempt, and the
    pauses in between. Only safe calls are made, so each may be tried again. A redirect is not followed: it could lead
    anywhere, so it is an error status like any other.

    The retries are a loop of our own: stamina 26 looks at the time after a pause, not before one that can't fit, and
    reports to a registry of metrics that is the whole process's.
    """

    def __init__(self, url: str, timeout: float, concurrency: int, now: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._timeout = timeout
        self._concurrency = concurrency
        self._places = asyncio.Semaphore(concurrency)
        self._breaker = Breaker(now)
        self._opening = asyncio.Lock()
        self._client: AsyncClient | None = None

    async def data(self) -> Any:
        return await self._get("/data")

    async def user(self, user_id: int) -> Any:
        return await self._get(f"/users/{user_id:d}")

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _get(self, path: str) -> Any:
        """What the partner has there. A call that had an answer ends with the last one, whatever came after it."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeout
        answer: ExternalApiError | None = None
        pauses = iter(PAUSES)
        while True:
            try:
                return await self._attempt(path, deadline)
            except Failed as failed:
                answer = failed.answer or answer
                pause = max(failed.pause, next(pauses, math.inf) * random.uniform(0.5, 1.5))  # noqa: S311 - spreads
                if not failed.again or now() + pause >= deadline:
                    raise answer or ExternalServiceUnavailable from failed
            except ExternalServiceUnavailable:  # the breaker has opened meanwhile
                if answer is not None:
                    raise answer from None
                raise
            await asyncio.sleep(pause)

    async def _attempt(self, path: str, deadline: float) -> Any:
        """Raises `Failed`, `ExternalApiError` for an answer that wouldn't change, or what the breaker raises."""
        async with self._place(deadline) as client:
            with self._breaker.attempt():
                return await self._ask(client, path, deadline)

    @asynccontextmanager
    async def _place(self, deadline: float) -> "AsyncIterator[AsyncClient]":
        """One of the places for calls, in the order they were asked for."""
        try:
            async with asyncio.timeout_at(deadline):
                client = await self._opened()
                await self._places.acquire()
        except TimeoutError:
            raise Failed from None  # the calls before this one took all the time: it says nothing about the partner
        try:
            yield client
        finally:
            self._places.release()

    async def _ask(self, client: "AsyncClient", path: str, deadline: float) -> Any:
        from httpx2 import InvalidURL, RequestError, StreamError

        causes = {"X-Request-ID": request_id.get(), "traceparent": traceparent.get()}
        headers = {name: cause for name, cause in causes.items() if cause is not None}
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with (
                asyncio.timeout_at(deadline),
                client.stream("GET", self._url + path, headers=headers) as response,
            ):
                if not response.is_success:
                    raise _refusal(response)
                return _parsed(await _body(response))
        except (TimeoutError, RequestError, StreamError, InvalidURL) as error:
            log.warning("the partner API gave no answer: %s", type(error).__name__)
            # Whoever waited for a place as long as the partner takes has less than that left, however well it works.
            is_late = isinstance(error, TimeoutError) and left < self._timeout / 2
            raise (Hurried if is_late else Broken) from error

    async def _opened(self) -> "AsyncClient":
        """The client; what it needs is slow to load, so that is done in a thread, when it is first wanted."""
        if self._client is None:
            async with self._opening:
                if self._client is None:  # else another one opened it while we waited
                    self._client = await asyncio.to_thread(self._open)
        return self._client

    def _open(self) -> "AsyncClient":
        from httpx2 import AsyncClient, Limits

        secure = self._url.startswith("https://")
        return AsyncClient(
            headers=HEADERS,
            timeout=None,
            limits=Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency),
            verify=ssl.create_default_context() if secure else False,
            trust_env=False,  # only the settings read the environment
        )


def _refusal(response: "Response") -> Exception:
    """What a status that isn't 2xx means: 5xx and 429 may be otherwise next time."""
    status = response.status_code
    answer = ExternalApiError(status)
    log.warning("the partner API answered with status %d", status)
    if status >= 500:
        return Broken(answer, _pause(response))
    return Failed(answer, _pause(response)) if status == 429 else answer


def _pause(response: "Response") -> float:
    """The seconds that `Retry-After` asks for (RFC 9110 section 10.2.3); 0 if it says nothing that can be read."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    try:
        at = email.utils.parsedate_to_datetime(text)
        return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return 0


async def _body(response: "Response") -> bytes:
    """Raises `Endless` or `Broken`."""
    if response.headers.get("content-encoding", "identity") != "identity":
        log.warning("the partner API sent a content encoding that nobody asked for")
        raise Broken
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LARGEST:
            log.warning("the partner API sent more than %d bytes", LARGEST)
            raise Endless
    return bytes(body)


def _parsed(body: bytes) -> Any:
    """Raises `Broken` if it isn't JSON (RFC 8259); `NaN` and lone surrogates are not. A number that is too great for
    a float is refused too: else it would be passed on as null."""
    from pydantic_core import from_json

    try:
        value = from_json(body, allow_inf_nan=False)
        json.dumps(value, allow_nan=False)
        return value
    except ValueError:
        log.warning("the partner API sent what is no JSON")
        raise Broken from None
