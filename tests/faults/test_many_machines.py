"""Three hosts, their database, their Redis, a mail server and a proxy: one after the other fails, under traffic.

At the end everything that was acknowledged is there, once. `make soak` runs it for longer (`PORTICO_SOAK_ROUNDS`), each
time with another seed, which is printed; `PORTICO_SOAK_SEED` repeats such a run.
"""

import asyncio
import os
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import RUN_DIRECTORY
from tests.faults.cluster import FAKETIME, Cluster, cluster
from tests.faults.network import Network, NetworkUnavailable, network
from tests.faults.people import Person, found_wrong
from tests.faults.processes import START_SECONDS
from tests.postgres_server import PostgresUnavailable
from tests.redis_server import RedisUnavailable
from tests.small_file_system import fill, small_file_system

PEOPLE: Final = 6
DISK: Final = 256
"""Mebibytes."""
FAULT_SECONDS: Final = 2.0
IS_SOAK: Final = "PORTICO_SOAK_ROUNDS" in os.environ
ROUNDS: Final = int(os.environ.get("PORTICO_SOAK_ROUNDS", "1"))
SEED: Final = int(os.environ.get("PORTICO_SOAK_SEED", str(random.randrange(10_000) if IS_SOAK else 1)))
RECOVERY_SECONDS: Final = 10.0 if IS_SOAK else 30.0
"""Within which all must be well again once a fault is over, without a restart; more where other tests run beside."""

Fault = Callable[[Cluster, random.Random], Awaitable[None]]


async def _lasts() -> None:
    """How long a fault lasts, for those who live through it."""
    await asyncio.sleep(FAULT_SECONDS)


async def an_application_is_killed(cluster: Cluster, chance: random.Random) -> None:
    one = chance.choice(cluster.applications)
    await one.end()
    await _lasts()
    await one.start()
    await one.comes_up(START_SECONDS)


async def postgres_crashes(cluster: Cluster, chance: random.Random) -> None:
    await asyncio.to_thread(cluster.postgres.stop_immediately)
    await _lasts()
    await asyncio.to_thread(cluster.postgres.start)


async def an_application_loses_postgres(cluster: Cluster, chance: random.Random) -> None:
    one = chance.choice(cluster.applications)
    one.host.lose(cluster.postgres_host)
    await _lasts()
    one.host.find(cluster.postgres_host)


async def an_application_is_cut_off(cluster: Cluster, chance: random.Random) -> None:
    one = chance.choice(cluster.applications)
    one.host.cut_off()
    await _lasts()
    one.host.reconnect()


async def redis_crashes(cluster: Cluster, chance: random.Random) -> None:
    await asyncio.to_thread(cluster.redis.kill)
    await _lasts()
    await asyncio.to_thread(cluster.redis.start)


async def the_mail_server_goes_away(cluster: Cluster, chance: random.Random) -> None:
    await cluster.mail.go_away()
    await _lasts()
    await cluster.mail.come_back()


async def a_clock_is_a_day_ahead(cluster: Cluster, chance: random.Random) -> None:
    one = chance.choice(cluster.applications)
    one.set_clock("+1d")
    await _lasts()
    one.set_clock("+0")


async def the_disk_is_full(cluster: Cluster, chance: random.Random) -> None:
    ballast = cluster.applications[0].data / "ballast"
    await asyncio.to_thread(fill, ballast)
    await _lasts()
    ballast.unlink()


async def the_applications_restart_one_by_one(cluster: Cluster, chance: random.Random) -> None:
    for one in cluster.applications:
        assert await one.stop() == 0
        await one.start()
        await one.comes_up(START_SECONDS)


FAULTS: Final[tuple[Fault, ...]] = (
    an_application_is_killed,
    postgres_crashes,
    an_application_loses_postgres,
    an_application_is_cut_off,
    redis_crashes,
    the_mail_server_goes_away,
    a_clock_is_a_day_ahead,
    the_disk_is_full,
    the_applications_restart_one_by_one,
)


@pytest.fixture
def hosts() -> Iterator[Network]:
    if not FAKETIME.exists():
        pytest.skip("no libfaketime on this machine: `apt-get install libfaketime`")
    try:
        with network() as made:
            yield made
    except NetworkUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The disk that the applications share."""
    with small_file_system(tmp_path / "data", mebibytes=DISK) as folder:
        yield folder


async def fall_and_rise(made: Cluster, people: Sequence[Person], chance: random.Random) -> None:
    """The people use it while every fault happens, one after the other, in a random order."""
    stop = asyncio.Event()
    living = [asyncio.create_task(person.live(stop)) for person in people]
    for number in range(ROUNDS):
        for fault in chance.sample(FAULTS, len(FAULTS)):
            await fault(made, chance)
            over = time.monotonic()
            await made.all_up(RECOVERY_SECONDS)
            print(f"round {number}: {fault.__name__}: well again after {time.monotonic() - over:.1f} s")
    stop.set()
    await asyncio.gather(*living)


@pytest.mark.timeout(600 + 120 * ROUNDS)
async def test_nothing_acknowledged_is_lost_whatever_fails(
    hosts: Network, disk: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    print(f"PORTICO_SOAK_SEED={SEED}")
    try:
        async with cluster(hosts, tmp_path, request.config.stash[RUN_DIRECTORY], disk) as made:
            people = [Person(f"person{n}", made.address, random.Random(f"{SEED} {n}")) for n in range(PEOPLE)]
            await fall_and_rise(made, people, random.Random(SEED))
            wrong = await found_wrong(people, made.address)
            expected = {email for person in people for email in person.friends}
            await made.mail.received(len(expected), 60)
    except (PostgresUnavailable, RedisUnavailable) as reason:
        pytest.skip(str(reason))

    ids = defaultdict(set)
    for mail in made.mail.messages:
        ids[mail.recipient].add(str(mail.message["Message-ID"]))
    for person in people:
        doings = f"{person.requests} requests, {person.unanswered} unanswered, {len(person.items)} items"
        print(f"{person.name}: {doings}, {person.follower.connections} WebSockets")
    assert wrong == []
    assert {address: len(found) for address, found in ids.items()} == dict.fromkeys(expected, 1)
