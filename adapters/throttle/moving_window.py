"""Throttles over a moving window: no more than so many attempts in any stretch of that length."""

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from domain.errors import TooManyAttempts
from domain.throttle import Limit

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.strategies import MovingWindowRateLimiter
    from redis.asyncio import ConnectionPool

log = logging.getLogger(__name__)

REDIS_TIMEOUT_SECONDS: Final = 0.25
REDIS_CONNECTIONS: Final = 16

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Redis:
    limiter: "MovingWindowRateLimiter"
    connections: "ConnectionPool"
    error: type[Exception]


@dataclass(frozen=True, slots=True)
class _Counters:
    items: "dict[Limit, RateLimitItem]"
    local: "MovingWindowRateLimiter"
    redis: _Redis | None


class MovingWindowThrottle:
    """Counts in this process and, where `redis_url` is given, also in Redis, for all processes with this `secret`.

    While Redis is away, or takes over a quarter of a second, this process limits by itself, by what it has counted all
    along, and asks Redis again after `redis_pause_seconds`. So it never opens: what was used up here stays used up,
    also when Redis comes back without its data.

    Nothing personal is kept: a key is an HMAC-SHA256 under a key made from `secret`, in memory and in Redis.
    """

    def __init__(self, secret: bytes, redis_url: str | None = None, redis_pause_seconds: float = 5) -> None:
        self._secret = hmac.digest(secret, b"portico throttle keys 1", "sha256")
        self._redis_url = redis_url
        self._redis_pause_seconds = redis_pause_seconds
        self._redis_paused_until = 0.0
        self._redis_is_away = False
        self._opening = asyncio.Lock()
        self._opened: _Counters | None = None

    async def check(self, limit: Limit, *key: str) -> None:
        counters = await self._counters()
        item, name = counters.items[limit], self._name(key)
        window = await counters.local.get_window_stats(item, name)
        if window.remaining > 0:
            shared = await self._ask(counters.redis, lambda limiter: limiter.get_window_stats(item, name))
            if shared is None or shared.remaining > 0:
                return
            window = shared
        raise _refusal(window.reset_time)

    async def spend(self, limit: Limit, *key: str) -> None:
        counters = await self._counters()
        item, name = counters.items[limit], self._name(key)
        # Redis first: an attempt that it refuses isn't one, and must not be counted here either.
        if await self._ask(counters.redis, lambda limiter: limiter.hit(item, name)) is False:
            shared = await self._ask(counters.redis, lambda limiter: limiter.get_window_stats(item, name))
            raise _refusal(shared.reset_time if shared else time.time() + item.get_expiry())
        if not await counters.local.hit(item, name):
            raise _refusal((await counters.local.get_window_stats(item, name)).reset_time)

    async def redis_answers(self) -> bool:
        """Whether Redis is to be had now; without a `redis_url` there is nothing that could be away."""
        redis = (await self._counters()).redis
        if redis is None:
            return True
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                return await redis.limiter.storage.check()
        except TimeoutError:
            return False

    async def close(self) -> None:
        """Let go of the connections to Redis."""
        if self._opened is not None and self._opened.redis is not None:
            await self._opened.redis.connections.aclose()

    def _name(self, key: tuple[str, ...]) -> str:
        # The lengths keep ("a", "bc") and ("ab", "c") apart.
        text = "".join(f"{len(part)}:{part}" for part in key)
        return hmac.new(self._secret, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    async def _counters(self) -> _Counters:
        if self._opened is None:
            async with self._opening:
                if self._opened is None:  # else another one opened them while we waited
                    self._opened = await asyncio.to_thread(_open, self._redis_url)
        return self._opened

    async def _ask(
        self, redis: _Redis | None, question: Callable[["MovingWindowRateLimiter"], Awaitable[Answer]]
    ) -> Answer | None:
        """What Redis answers, or None if there is none, or it is away."""
        if redis is None or time.monotonic() < self._redis_paused_until:
            return None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                answer = await question(redis.limiter)
        except (OSError, redis.error) as error:  # a timeout is an OSError
            self._redis_paused_until = time.monotonic() + self._redis_pause_seconds
            if not self._redis_is_away:
                log.warning("Redis is not to be had (%s): rate limits are counted here alone", type(error).__name__)
            self._redis_is_away = True
            return None
        if self._redis_is_away:
            log.info("Redis is back: rate limits are shared again")
        self._redis_is_away = False
        return answer


class NoThrottle(MovingWindowThrottle):
    """Everything is allowed, as often as one likes; whether Redis answers is still told."""

    def __init__(self, secret: bytes = b"", redis_url: str | None = None) -> None:
        super().__init__(secret, redis_url)

    async def check(self, limit: Limit, *key: str) -> None:
        pass

    async def spend(self, limit: Limit, *key: str) -> None:
        pass


def _refusal(reset_time: float) -> TooManyAttempts:
    return TooManyAttempts(math.ceil(reset_time - time.time()))


def _open(redis_url: str | None) -> _Counters:
    """Make the counters; the libraries are slow to import, so this runs in a thread, when they are first needed."""
    from limits import RateLimitItemPerSecond
    from limits.aio.strategies import MovingWindowRateLimiter

    from adapters.throttle.memory import BoundedMemoryStorage

    items: dict[Limit, RateLimitItem] = {
        limit: RateLimitItemPerSecond(
            limit.value.attempts, int(limit.value.per.total_seconds()), namespace=limit.name.lower()
        )
        for limit in Limit
    }
    local = MovingWindowRateLimiter(BoundedMemoryStorage())
    return _Counters(items, local, _open_redis(redis_url) if redis_url else None)


def _open_redis(url: str) -> _Redis:
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import MovingWindowRateLimiter
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Disconnected
    from redis.exceptions import RedisError

    connections = BlockingConnectionPool.from_url(
        url,
        max_connections=REDIS_CONNECTIONS,
        timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1, (Disconnected,)),  # once: a pooled connection may have died since it was last used
    )
    options: dict[str, Any] = {"implementation": "redispy", "connection_pool": connections}
    storage = RedisStorage("async+redis://", key_prefix="portico:limits", **options)
    return _Redis(MovingWindowRateLimiter(storage), connections, RedisError)
