"""What every throttle promises, then what memory and Redis add."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import pytest
from redis import Redis

from adapters.throttle import memory
from adapters.throttle.memory import BoundedMemoryStorage
from adapters.throttle.moving_window import MovingWindowThrottle, NoThrottle
from application.ports.throttle import Throttle
from domain.errors import TooManyAttempts
from domain.throttle import Limit
from tests.fakes.parts import CountingThrottle, SettableClock
from tests.redis_server import RedisServer

SECRET = b"a secret that all processes know"
LIMIT = Limit.SIGN_IN_ADDRESS_AND_ACCOUNT
ALLOWED = LIMIT.value.attempts
KEY = ("192.0.2.7", "ada@example.org")
AGES = 3600.0
MOMENT = timedelta(minutes=1)
"""Longer than a test takes to spend an allowance."""


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Let time pass, for everything in this process that asks for it."""
    real_time, passed = time.time, timedelta()

    def let_pass(by: timedelta) -> None:
        nonlocal passed
        passed += by
        monkeypatch.setattr(time, "time", lambda: real_time() + passed.total_seconds())

    return let_pass


@dataclass
class Subject:
    throttle: Throttle
    let_pass: Callable[[timedelta], None]


@pytest.fixture(params=["memory", "redis", "fake"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        clock = SettableClock()
        yield Subject(CountingThrottle(clock), clock.advance)
        return
    let_pass = request.getfixturevalue("let_pass")
    url = request.getfixturevalue("own_redis").url if request.param == "redis" else None
    throttle = MovingWindowThrottle(SECRET, url)
    yield Subject(throttle, let_pass)
    await throttle.close()


async def spend(throttle: Throttle, times: int, limit: Limit = LIMIT, key: tuple[str, ...] = KEY) -> int:
    """Try that often; returns how many were allowed."""

    async def allowed() -> bool:
        try:
            await throttle.spend(limit, *key)
        except TooManyAttempts:
            return False
        return True

    return sum([await allowed() for _ in range(times)])


class TestEveryThrottle:
    @pytest.mark.parametrize("limit", Limit)
    async def test_the_allowance_can_be_spent_and_no_more(self, subject: Subject, limit: Limit) -> None:
        assert await spend(subject.throttle, limit.value.attempts + 3, limit) == limit.value.attempts

    async def test_attempts_at_once_get_no_more_than_the_allowance(self, subject: Subject) -> None:
        assert sum(await asyncio.gather(*(spend(subject.throttle, 1) for _ in range(50)))) == ALLOWED

    async def test_checking_counts_nothing(self, subject: Subject) -> None:
        for _ in range(3 * ALLOWED):
            await subject.throttle.check(LIMIT, *KEY)
        assert await spend(subject.throttle, ALLOWED) == ALLOWED

    async def test_checking_refuses_once_the_allowance_is_used_up(self, subject: Subject) -> None:
        await spend(subject.throttle, ALLOWED - 1)
        await subject.throttle.check(LIMIT, *KEY)
        await spend(subject.throttle, 1)
        with pytest.raises(TooManyAttempts):
            await subject.throttle.check(LIMIT, *KEY)

    async def test_an_attempt_comes_back_when_it_has_left_the_window_and_not_before(self, subject: Subject) -> None:
        await spend(subject.throttle, 1)
        subject.let_pass(LIMIT.value.per / 2)
        await spend(subject.throttle, ALLOWED - 1)
        subject.let_pass(LIMIT.value.per / 2 - MOMENT)
        assert await spend(subject.throttle, 1) == 0
        subject.let_pass(2 * MOMENT)
        assert await spend(subject.throttle, 3) == 1

    @pytest.mark.parametrize("ask", ["check", "spend"])
    async def test_whoever_waits_as_long_as_told_may_try_again(self, subject: Subject, ask: str) -> None:
        await spend(subject.throttle, ALLOWED)
        subject.let_pass(timedelta(minutes=5))
        with pytest.raises(TooManyAttempts) as refused:
            await getattr(subject.throttle, ask)(LIMIT, *KEY)
        assert refused.value.retry_after <= 600
        subject.let_pass(timedelta(seconds=refused.value.retry_after) - MOMENT)
        assert await spend(subject.throttle, 1) == 0
        subject.let_pass(MOMENT + timedelta(seconds=1))
        assert await spend(subject.throttle, 1) == 1
        subject.let_pass(MOMENT)
        assert await spend(subject.throttle, ALLOWED) == ALLOWED - 1

    async def test_refused_attempts_make_nobody_wait_longer(self, subject: Subject) -> None:
        await spend(subject.throttle, ALLOWED)
        subject.let_pass(LIMIT.value.per - MOMENT)
        assert await spend(subject.throttle, ALLOWED) == 0
        subject.let_pass(2 * MOMENT)
        assert await spend(subject.throttle, ALLOWED) == ALLOWED

    @pytest.mark.parametrize("other", [("192.0.2.8", KEY[1]), (KEY[0], "bob@example.org"), (KEY[0],), ("".join(KEY),)])
    async def test_other_keys_are_counted_apart(self, subject: Subject, other: tuple[str, ...]) -> None:
        await spend(subject.throttle, ALLOWED)
        assert await spend(subject.throttle, ALLOWED, key=other) == ALLOWED

    async def test_limits_are_counted_apart_even_if_their_allowances_are_alike(self, subject: Subject) -> None:
        await spend(subject.throttle, 60, Limit.REGISTRATION)
        assert await spend(subject.throttle, 60, Limit.RESEND_VERIFICATION) == 60
        assert await spend(subject.throttle, 60, Limit.FORGOTTEN_PASSWORD) == 60

    @pytest.mark.parametrize(
        "name",
        ["", "\0", "\ud800", "é/%*{}\r\n", "x" * 1_000_000],
        ids=["empty", "NUL", "surrogate", "signs", "a million characters"],
    )
    async def test_any_text_may_be_a_key(self, subject: Subject, name: str) -> None:
        assert await spend(subject.throttle, ALLOWED + 1, key=(name,)) == ALLOWED


class TestMemory:
    async def test_keys_whose_window_has_passed_are_forgotten(self, let_pass: Callable[[timedelta], None]) -> None:
        storage = BoundedMemoryStorage()
        for number in range(100):
            await storage.acquire_entry(f"registration/{number}", 10, 60)
        assert storage.size == 100
        let_pass(timedelta(seconds=61))
        await storage.acquire_entry("registration/one more", 10, 60)
        assert storage.size == 1

    async def test_beyond_its_bound_the_key_that_was_quiet_longest_is_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "MOST_KEYS", 2)
        storage = BoundedMemoryStorage()
        for key in ("forgot/1", "forgot/2", "forgot/1", "forgot/3", "confirm/1"):
            await storage.acquire_entry(key, 10, 60)
        counts = {
            key: (await storage.get_moving_window(key, 10, 60))[1] for key in ("forgot/1", "forgot/2", "forgot/3")
        }
        assert counts == {"forgot/1": 2, "forgot/2": 0, "forgot/3": 1}
        assert (await storage.get_moving_window("confirm/1", 10, 60))[1] == 1, "another throttle's keys are not touched"


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def process(stack: AsyncExitStack, own_redis: RedisServer) -> Callable[..., MovingWindowThrottle]:
    """Makes the throttle of one more process; all of them share the server."""

    def process(*, secret: bytes = SECRET, pause: float = 0) -> MovingWindowThrottle:
        throttle = MovingWindowThrottle(secret, own_redis.url, redis_pause_seconds=pause)
        stack.push_async_callback(throttle.close)
        return throttle

    return process


Process = Callable[..., MovingWindowThrottle]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is waited for, however busy the machine is: what it counts has to be exact."""
    monkeypatch.setattr("adapters.throttle.moving_window.REDIS_TIMEOUT_SECONDS", 10)


class TestRedis:
    @pytest.mark.usefixtures("patient")
    async def test_all_processes_share_one_allowance(self, process: Process) -> None:
        first, second = process(), process()
        assert await spend(first, 7) + await spend(second, 7) == ALLOWED
        for throttle in (first, second):
            with pytest.raises(TooManyAttempts):
                await throttle.check(LIMIT, *KEY)

    @pytest.mark.usefixtures("patient")
    async def test_nothing_personal_is_stored_and_everything_expires(
        self, process: Process, own_redis: RedisServer
    ) -> None:
        await spend(process(), 1)
        await spend(process(), 1, key=("x" * 100_000,))
        await spend(process(secret=b"of another installation"), 1)
        with Redis.from_url(own_redis.url) as redis:
            keys = [key.decode() for key in redis.scan_iter()]
            assert len(keys) == 3
            for key in keys:
                assert len(key) < 150
                assert not any(part in key for part in (*KEY, "example", "xxx"))
                assert 0 < redis.ttl(key) <= LIMIT.value.per.total_seconds()

    async def test_when_redis_dies_in_the_middle_the_count_goes_on(
        self, process: Process, own_redis: RedisServer
    ) -> None:
        throttle = process()
        assert await spend(throttle, 6) == 6
        own_redis.kill()
        assert await spend(throttle, 6) == ALLOWED - 6
        with pytest.raises(TooManyAttempts):
            await throttle.check(LIMIT, *KEY)

    async def test_without_redis_from_the_start_each_process_limits(
        self, process: Process, own_redis: RedisServer
    ) -> None:
        own_redis.kill()
        assert await spend(process(), 2 * ALLOWED) == ALLOWED

    async def test_a_redis_that_hangs_is_not_waited_for_and_not_let_through(
        self, process: Process, own_redis: RedisServer
    ) -> None:
        throttle = process(pause=AGES)
        assert await spend(throttle, 6) == 6
        own_redis.pause()
        async with asyncio.timeout(60):
            assert await spend(throttle, 6) == ALLOWED - 6

    async def test_a_redis_that_refuses_to_write_opens_nothing(self, process: Process, own_redis: RedisServer) -> None:
        with Redis.from_url(own_redis.url) as redis:
            redis.config_set("maxmemory", 1)
        assert await spend(process(), 2 * ALLOWED) == ALLOWED

    @pytest.mark.usefixtures("patient")
    async def test_when_redis_is_back_the_allowance_is_shared_again(
        self, process: Process, own_redis: RedisServer
    ) -> None:
        first, second = process(), process()
        own_redis.kill()
        await spend(first, 1, key=("another",))
        await spend(second, 1, key=("another",))
        own_redis.start()
        assert await spend(first, 7) + await spend(second, 7) == ALLOWED

    async def test_what_was_used_up_stays_so_when_redis_comes_back_empty(
        self, process: Process, own_redis: RedisServer
    ) -> None:
        throttle = process()
        await spend(throttle, ALLOWED)
        own_redis.kill()
        own_redis.start()
        with pytest.raises(TooManyAttempts):
            await throttle.check(LIMIT, *KEY)
        assert await spend(throttle, 1) == 0

    @pytest.mark.usefixtures("patient")
    async def test_a_hung_redis_that_goes_on_counts_right(
        self, process: Process, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = process(), process()
        assert await spend(first, 2) == 2
        own_redis.pause()
        with monkeypatch.context() as hasty:
            hasty.setattr("adapters.throttle.moving_window.REDIS_TIMEOUT_SECONDS", 0.25)
            assert await spend(first, 1) == 1
        own_redis.resume()
        assert await spend(first, 2) == 2
        assert await spend(second, 2 * ALLOWED) <= ALLOWED - 4

    async def test_after_a_failure_redis_is_left_alone_for_a_while(
        self, process: Process, own_redis: RedisServer
    ) -> None:
        throttle = process(pause=AGES)
        own_redis.kill()
        await spend(throttle, 1)
        own_redis.start()
        await spend(throttle, 1)
        assert own_redis.keys() == set()

    @pytest.mark.usefixtures("patient")
    async def test_the_log_says_once_that_redis_is_away_and_once_that_it_is_back(
        self, process: Process, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "adapters.throttle.moving_window")
        throttle = process()
        own_redis.kill()
        await spend(throttle, 3)
        own_redis.start()
        await spend(throttle, 3)
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert not any(word in caplog.text for word in (*KEY, own_redis.url))


async def test_without_limits_everything_is_allowed() -> None:
    throttle = NoThrottle()
    assert await spend(throttle, 1000) == 1000
    await throttle.check(LIMIT, *KEY)
    await throttle.close()
