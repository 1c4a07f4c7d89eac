"""Three hosts, their database, their Redis, a mail server and a proxy: one after the other fails, under traffic.

At the end everything that was acknowledged is there, once. `make soak` runs it for longer (`PORTICO_SOAK_ROUNDS`), each
time with another seed, which is printed; `PORTICO_SOAK_SEED` repeats the faults of such a run in their order, and what
each of the people chooses to do, but not the moment at which the one meets the other.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from tests import nginx_server
from tests.conftest import RUN_DIRECTORY
from tests.faults.checking import found_wrong, mails_found_wrong
from tests.faults.cluster import APPLICATIONS, FAKETIME, Cluster, cluster
from tests.faults.doings import DOINGS
from tests.faults.misfortunes import FAULTS, Misfortune, misfortunes
from tests.faults.network import Network
from tests.faults.people import Person
from tests.faults.recovering import EMAIL, Watch
from tests.postgres_server import PostgresUnavailable
from tests.redis_server import RedisUnavailable
from tests.small_file_system import small_file_system

DISK: Final = 256
"""Mebibytes."""
IS_SOAK: Final = "PORTICO_SOAK_ROUNDS" in os.environ
PEOPLE: Final = 6 if IS_SOAK else 4
BREATH: Final = 0.0 if IS_SOAK else 0.1
"""Seconds between two things that one of them does: other tests run beside the short form."""
ROUNDS: Final = int(os.environ.get("PORTICO_SOAK_ROUNDS", "1"))
SEED: Final = int(os.environ.get("PORTICO_SOAK_SEED", str(random.randrange(10_000) if IS_SOAK else 1)))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The disk that the applications share."""
    with small_file_system(tmp_path / "data", mebibytes=DISK) as folder:
        yield folder


@pytest.fixture
async def deployment(
    hosts: Network, disk: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Cluster]:
    if FAKETIME is None:
        pytest.skip("no libfaketime on this machine: `apt-get install faketime`")
    if nginx_server.PROGRAM is None:
        pytest.skip(nginx_server.HOW_TO_GET)
    async with AsyncExitStack() as stack:
        try:
            made = await stack.enter_async_context(cluster(hosts, tmp_path, request.config.stash[RUN_DIRECTORY], disk))
        except (PostgresUnavailable, RedisUnavailable) as reason:
            pytest.skip(str(reason))
        yield made


async def fall_and_rise(made: Cluster, people: Sequence[Person], plan: Sequence[Misfortune]) -> None:
    """The people use it while one thing after the other happens."""
    watch = Watch(made)
    await watch.all_well()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as living:
        for person in people:
            living.create_task(person.live(stop, DOINGS))
        for misfortune in plan:
            if any(person.wrong for person in people):
                break
            await misfortune.fault(made, watch, misfortune.victim)
            print(f"{misfortune}: well again after {await watch.recovers():.1f} s")
        stop.set()


@pytest.mark.timeout(1200 + 600 * ROUNDS)
async def test_nothing_acknowledged_is_lost_whatever_fails(deployment: Cluster) -> None:
    plan = misfortunes(SEED, rounds=ROUNDS, applications=APPLICATIONS)
    print(f"PORTICO_SOAK_SEED={SEED}: {', '.join(map(str, plan))}")
    people = [
        Person(f"person{n}", deployment.address, random.Random(f"{SEED} {n}"), lambda: deployment.clocks_agree, BREATH)
        for n in range(PEOPLE)
    ]
    for person in people:
        person.others = [other for other in people if other is not person]
    await fall_and_rise(deployment, people, plan)
    for person in people:
        print(
            f"{person.name}: {person.requests} requests, {person.unanswered} unanswered, {dict(person.refusals)}, "
            f"{len(person.items)} items, {person.follower.connections} WebSockets"
        )

    assert await found_wrong(people, deployment.address) == []
    wrong_mails = await mails_found_wrong(
        people, deployment.mail.messages, deployment.address, apart_from=EMAIL, interruptions=len(plan)
    )
    assert wrong_mails == []


def test_a_seed_repeats_the_plan_and_each_round_has_every_fault() -> None:
    plan = misfortunes(7, rounds=2, applications=APPLICATIONS)

    assert plan == misfortunes(7, rounds=2, applications=APPLICATIONS)
    assert plan != misfortunes(8, rounds=2, applications=APPLICATIONS)
    for start in (0, len(FAULTS)):
        assert {misfortune.fault for misfortune in plan[start : start + len(FAULTS)]} == set(FAULTS)
