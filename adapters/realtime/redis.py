"""Processes that hear each other through a Redis stream.

A stream keeps what was said for a minute, so a process whose link was lost hears it when the link is back, which
publish and subscribe would not give. Whoever was cut off for longer is told so as ever, and asks for what it lacks.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from adapters.realtime.outgoing import PAUSE, Link, Numbered, Outgoing, Senders, end_if_cancelled
from application.ports.realtime import Listener

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEPT: Final = 2048
"""Messages in the stream, about."""
KEPT_SECONDS: Final = 60
"""How long they are in it, and the stream is there when nobody says anything more: names and texts are among them."""
AT_ONCE: Final = 100
BLOCK_MS: Final = 2000
TIMEOUT: Final = 5.0
"""Seconds for Redis to answer: longer than it is asked to wait."""

log = logging.getLogger(__name__)


class RedisBroadcaster:
    """Implements `Broadcaster`, among the processes with the same Redis and the same `service`."""

    def __init__(self, url: str, service: str, name: str) -> None:
        self._url = url
        self._key = f"portico:realtime:{service}"
        self._name = name
        self._senders = Senders()
        self._outgoing = Outgoing(self._send, lambda: self._lost)
        self._opening = asyncio.Lock()
        self._client: Redis | None = None
        self._oldest = 0
        """Where in the stream that begins which is still kept, in milliseconds by the clock of Redis."""

    def publish(self, message: str) -> None:
        self._outgoing.put(message)

    async def listen(self, listener: Listener) -> None:
        link = Link(listener)
        position: str | None = None
        while True:
            try:
                last = await self._last_id()
                if position is None or _is_before(last, position):  # it was begun anew
                    position = last if position is None else "0-0"
                link.stands()
                while True:
                    position = await self._hear(listener, position)
                    end_if_cancelled()
            except self._lost as error:
                end_if_cancelled()
                link.is_lost(error)
                await asyncio.sleep(PAUSE)

    async def close(self) -> None:
        await self._outgoing.close()
        if self._client is not None:
            await self._client.aclose()

    async def _opened(self) -> "Redis":
        """The client; the library is slow to load, so that is done in a thread, when it is first wanted."""
        if self._client is None:
            async with self._opening:
                if self._client is None:  # else another one opened it while we waited
                    self._client = await asyncio.to_thread(self._open)
        return self._client

    def _open(self) -> "Redis":
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return Redis.from_url(
            self._url,
            protocol=2,
            decode_responses=True,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )

    @property
    def _lost(self) -> tuple[type[Exception], ...]:
        from redis.exceptions import RedisError

        return (RedisError, OSError)

    async def _last_id(self) -> str:
        last = await (await self._opened()).xrevrange(self._key, count=1)
        return str(last[0][0]) if last else "0-0"

    async def _hear(self, listener: Listener, position: str) -> str:
        """Wait for what is beyond this place in the stream, and pass it on. The place that was reached."""
        client = await self._opened()
        answer: Any = await client.xread({self._key: position}, count=AT_ONCE, block=BLOCK_MS)
        for _, entries in answer:
            for entry_id, fields in entries:
                position = entry_id
                try:
                    sender, number, message = fields["by"], int(fields["number"]), fields["message"]
                except (KeyError, ValueError):
                    log.warning("another process says what can't be understood")
                    continue
                if sender != self._name and self._senders.is_new(sender, number):
                    listener.heard(message)
        return position

    async def _send(self, batch: Sequence[Numbered]) -> None:
        client = await self._opened()
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.xtrim(self._key, minid=self._oldest, approximate=False)
            for number, message in batch:
                fields: Any = {"by": self._name, "number": number, "message": message}
                pipeline.xadd(self._key, fields, maxlen=KEPT, approximate=True)
            pipeline.expire(self._key, KEPT_SECONDS)
            _, first, *_ = await pipeline.execute()
        self._oldest = max(0, int(first.partition("-")[0]) - KEPT_SECONDS * 1000)


def _is_before(one: str, other: str) -> bool:
    """Whether one id of a stream is less than another: both are times in milliseconds, and a count."""
    return tuple(map(int, one.split("-"))) < tuple(map(int, other.split("-")))
