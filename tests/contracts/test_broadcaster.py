"""What processes tell each other: through nothing but memory, through Redis, and through PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from adapters.realtime.memory import MemoryBroadcaster
from adapters.realtime.outgoing import Senders
from adapters.realtime.postgres import PostgresBroadcaster
from adapters.realtime.redis import KEPT_SECONDS, RedisBroadcaster
from application.ports.realtime import Broadcaster
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer
from tests.running_app import DEADLINE, eventually

LONG = "x" * 200_000
UNICODE = "ünï 🎉 \u2028 \\ ' \" \n" * 2000


@dataclass
class Hearing:
    """A `Listener` that keeps what it is told."""

    messages: list[str] = field(default_factory=list)
    links: list[bool] = field(default_factory=list)

    def heard(self, message: str) -> None:
        self.messages.append(message)

    def linked(self) -> None:
        self.links.append(True)

    def cut_off(self) -> None:
        self.links.append(False)


Make = Callable[[str], Broadcaster]


@pytest.fixture(params=["memory", "redis", "postgres"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes the broadcaster of a process of this name."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("own_redis")
        return lambda name: RedisBroadcaster(server.url, "a-service", name)
    if request.param == "postgres":
        url: str = request.getfixturevalue("migrated_postgres_url")
        return lambda name: PostgresBroadcaster(url, name)
    medium = MemoryBroadcaster().listeners
    return lambda name: MemoryBroadcaster(medium)


@asynccontextmanager
async def listening(broadcaster: Broadcaster) -> AsyncIterator[Hearing]:
    """What this one hears, from when its link is there."""
    hearing = Hearing()
    running = asyncio.create_task(broadcaster.listen(hearing))
    try:
        await eventually(lambda: hearing.links)
        yield hearing
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await broadcaster.close()


async def test_all_others_hear_it_once_in_order_and_oneself_does_not(make: Make) -> None:
    one, other, third = make("one"), make("other"), make("third")
    async with listening(one) as mine, listening(other) as others, listening(third) as thirds:
        for number in range(300):
            one.publish(f"{number}")
        other.publish("from the other")
        await eventually(lambda: len(others.messages) >= 300 and len(thirds.messages) >= 301 and mine.messages)
    assert others.messages == [str(number) for number in range(300)]
    assert [message for message in thirds.messages if message != "from the other"] == others.messages
    assert mine.messages == ["from the other"]


async def test_hearing_ends_when_it_is_cancelled_whatever_is_just_coming(make: Make) -> None:
    async with asyncio.timeout(DEADLINE):
        for number in range(10):
            one, other = make(f"one-{number}"), make(f"other-{number}")
            async with listening(one), listening(other) as heard:
                for text in range(100):
                    one.publish(str(text))
                while not heard.messages:  # noqa: ASYNC110 - as `eventually` does
                    await asyncio.sleep(0)


async def test_any_text_of_any_length_comes_as_it_was(make: Make) -> None:
    texts = ["", " ", "a b", LONG, UNICODE, "{}"]
    one, other = make("one"), make("other")
    async with listening(one), listening(other) as heard:
        for text in texts:
            one.publish(text)
        await eventually(lambda: len(heard.messages) >= len(texts))
    assert heard.messages == texts


async def test_one_that_does_not_listen_can_tell_others(make: Make) -> None:
    one, other = make("one"), make("other")
    async with listening(other) as heard:
        one.publish("from a worker")
        await one.close()
        await eventually(lambda: heard.messages)
    assert heard.messages == ["from a worker"]


async def test_nothing_from_before_one_listened_is_heard(make: Make) -> None:
    one, other, late = make("one"), make("other"), make("late")
    async with listening(one), listening(other) as heard:
        one.publish("before")
        await eventually(lambda: heard.messages)
        async with listening(late) as lately:
            one.publish("after")
            await eventually(lambda: lately.messages)
    assert lately.messages == ["after"]


async def test_services_on_one_redis_do_not_hear_each_other(own_redis: RedisServer) -> None:
    one, other = RedisBroadcaster(own_redis.url, "one", "a"), RedisBroadcaster(own_redis.url, "other", "b")
    same = RedisBroadcaster(own_redis.url, "one", "c")
    async with listening(one), listening(other) as others, listening(same) as heard:
        one.publish("a secret")
        await eventually(lambda: heard.messages)
    assert others.messages == []


async def test_what_is_said_while_redis_is_away_comes_late_once_and_in_order(own_redis: RedisServer) -> None:
    one, other = RedisBroadcaster(own_redis.url, "service", "one"), RedisBroadcaster(own_redis.url, "service", "other")
    said = [f"{number}" for number in range(100)]
    async with listening(one) as mine, listening(other) as heard:
        for text in said[:10]:
            one.publish(text)
        await eventually(lambda: len(heard.messages) == 10)
        own_redis.kill()
        await eventually(lambda: not heard.links[-1] and not mine.links[-1])
        for text in said[10:]:
            one.publish(text)
        await asyncio.to_thread(own_redis.start)
        await eventually(lambda: len(heard.messages) >= 100)
        assert heard.links == [True, False, True]
    assert heard.messages == said


async def test_what_nobody_can_understand_keeps_nobody_from_hearing_the_rest(own_redis: RedisServer) -> None:
    one, other = RedisBroadcaster(own_redis.url, "service", "one"), RedisBroadcaster(own_redis.url, "service", "other")
    async with listening(one), listening(other) as hearing, Redis.from_url(own_redis.url) as client:
        await client.xadd("portico:realtime:service", {"of": "another release"})
        await client.xadd("portico:realtime:service", {"by": "a", "number": "first", "message": "x"})
        one.publish("hello")
        await eventually(lambda: hearing.messages)
    assert hearing.messages == ["hello"]


async def test_a_notification_that_nobody_can_understand_is_passed_over(
    migrated_postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = PostgresBroadcaster(migrated_postgres_url, "one"), PostgresBroadcaster(migrated_postgres_url, "other")
    async with listening(one), listening(other) as hearing:
        connection = await asyncpg.connect(migrated_postgres_url)
        for payload in ("", "of another release", "a b c d e", "a 1 0 several text", "a first 0 1 text"):
            await connection.execute("SELECT pg_notify($1, $2)", "portico_realtime", payload)
        await connection.close()
        one.publish("hello")
        await eventually(lambda: hearing.messages)
    assert hearing.messages == ["hello"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_redis_that_hangs_is_left_and_heard_again(own_redis: RedisServer) -> None:
    one, other = RedisBroadcaster(own_redis.url, "service", "one"), RedisBroadcaster(own_redis.url, "service", "other")
    async with listening(one), listening(other) as heard:
        own_redis.pause()
        for number in range(10):
            one.publish(f"{number}")
        await eventually(lambda: not heard.links[-1])
        own_redis.resume()
        await eventually(lambda: len(heard.messages) >= 10)
    assert heard.messages == [f"{number}" for number in range(10)]


async def test_the_link_to_a_postgres_that_crashed_comes_back(
    own_postgres: PostgresServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "adapters.realtime")
    monkeypatch.setattr("adapters.realtime.postgres.LONGEST_PAUSE", 0)
    await asyncio.to_thread(own_postgres.create_database, "portico")
    url = own_postgres.url("portico")
    one, other = PostgresBroadcaster(url, "one"), PostgresBroadcaster(url, "other")
    async with listening(one) as mine, listening(other) as heard:
        await asyncio.to_thread(own_postgres.stop_immediately)
        await eventually(lambda: not heard.links[-1] and not mine.links[-1])
        await asyncio.to_thread(own_postgres.start)
        await eventually(lambda: heard.links[-1] and mine.links[-1])
        one.publish("again")
        await eventually(lambda: heard.messages)
        assert heard.links == [True, False, True]
    assert heard.messages == ["again"]
    said = [record.getMessage() for record in caplog.records if "heard" in record.getMessage()]
    assert sorted(text.partition(":")[0] for text in said) == [
        *["the other processes are heard again"] * 2,
        *["the other processes can't be heard"] * 2,
    ]


async def test_what_was_said_stays_in_redis_for_a_minute_and_hearing_does_not_need_it(own_redis: RedisServer) -> None:
    key = "portico:realtime:service"
    one, other = RedisBroadcaster(own_redis.url, "service", "one"), RedisBroadcaster(own_redis.url, "service", "other")
    async with Redis.from_url(own_redis.url) as client:
        await client.xadd(key, {"by": "a", "number": 1, "message": "long ago"}, id="1-1")
        async with listening(one), listening(other) as heard:
            one.publish("first")
            await eventually(lambda: heard.messages == ["first"])
            one.publish("second")
            await eventually(lambda: heard.messages == ["first", "second"])
            kept: Any = await client.xrange(key)
            assert [fields[b"message"] for _, fields in kept] == [b"first", b"second"]
            assert 0 < await client.ttl(key) <= KEPT_SECONDS
            await client.expire(key, 1)
            async with asyncio.timeout(DEADLINE):
                while await client.exists(key):  # noqa: ASYNC110 - Redis is what is waited for
                    await asyncio.sleep(0.05)
            one.publish("third")
            await eventually(lambda: len(heard.messages) == 3)
    assert heard.messages == ["first", "second", "third"]


@pytest.mark.parametrize(("limit", "each"), [("MOST_WAITING", 1), ("MOST_CHARACTERS", 7)])
async def test_while_the_link_is_away_what_waits_has_a_bound(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, limit: str, each: int
) -> None:
    bound = 1000  # less than the stream holds, so that whoever is back later than the sender misses nothing
    monkeypatch.setattr(f"adapters.realtime.outgoing.{limit}", bound * each)
    one, other = RedisBroadcaster(own_redis.url, "service", "one"), RedisBroadcaster(own_redis.url, "service", "other")
    said = [f"{number:07}" for number in range(bound + 10)]
    async with listening(other) as heard:
        own_redis.kill()
        await eventually(lambda: not heard.links[-1])
        for text in said:
            one.publish(text)
        await asyncio.to_thread(own_redis.start)
        await eventually(lambda: said[-1] in heard.messages[-1:])
    await one.close()
    assert heard.messages == said[-bound:]


def test_what_a_sender_says_again_is_known() -> None:
    senders = Senders()
    assert [senders.is_new("a", 1), senders.is_new("a", 2), senders.is_new("a", 2), senders.is_new("b", 2)] == [
        True,
        True,
        False,
        True,
    ]
