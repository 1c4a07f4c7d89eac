"""What happens to a deployment in the long test. Each makes sure that it did happen, and for a while."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from tests.faults.cluster import Cluster
from tests.faults.processes import START_SECONDS, comes_true
from tests.faults.recovering import Watch
from tests.small_file_system import fill

FAULT_SECONDS: Final = 2.0
EFFECT_SECONDS: Final = 60.0
"""Within which a fault must show."""
UPLOAD: Final = 1 << 20
"""Bytes that don't fit onto a full disk."""

Fault = Callable[[Cluster, Watch, int], Awaitable[None]]
"""Done to the deployment, by way of the application with this number; it is over when it returns."""


class Misfortune(NamedTuple):
    fault: Fault
    victim: int
    """The number of an application."""

    def __str__(self) -> str:
        return f"{self.fault.__name__} (application {self.victim})"


async def _lasts() -> None:
    """How long a fault lasts, for those who live through it."""
    await asyncio.sleep(FAULT_SECONDS)


async def an_application_dies(cluster: Cluster, _: Watch, victim: int) -> None:
    """As when its host loses power: nobody is told, not even by the kernel."""
    one = cluster.applications[victim]
    one.host.cut_off()
    await one.end()
    await _lasts()
    one.host.reconnect()
    await one.start()
    await one.comes_up(START_SECONDS)


async def an_application_is_killed(cluster: Cluster, _: Watch, victim: int) -> None:
    one = cluster.applications[victim]
    await one.end()
    await _lasts()
    await one.start()
    await one.comes_up(START_SECONDS)


async def postgres_crashes(cluster: Cluster, _: Watch, victim: int) -> None:
    await asyncio.to_thread(cluster.postgres.stop_immediately)
    await comes_true(lambda: cluster.applications[victim].lacks("database"), EFFECT_SECONDS)
    await _lasts()
    await asyncio.to_thread(cluster.postgres.start)


async def an_application_loses_postgres(cluster: Cluster, _: Watch, victim: int) -> None:
    one = cluster.applications[victim]
    one.host.lose(cluster.postgres_host)
    await comes_true(lambda: one.lacks("database"), EFFECT_SECONDS)
    for other in cluster.applications:
        assert other is one or not await other.lacks("database")
    await _lasts()
    one.host.find(cluster.postgres_host)


async def an_application_is_cut_off(cluster: Cluster, _: Watch, victim: int) -> None:
    one = cluster.applications[victim]
    one.host.cut_off()
    await comes_true(one.is_out_of_reach, EFFECT_SECONDS)
    await _lasts()
    one.host.reconnect()


async def redis_crashes(cluster: Cluster, _: Watch, victim: int) -> None:
    await asyncio.to_thread(cluster.redis.kill)
    await comes_true(lambda: cluster.applications[victim].lacks("redis"), EFFECT_SECONDS)
    await _lasts()
    await asyncio.to_thread(cluster.redis.start)


async def the_mail_server_goes_away(cluster: Cluster, watch: Watch, victim: int) -> None:
    await cluster.mail.go_away()
    await watch.ask_for_mail(cluster.applications[victim])
    await _lasts()
    await cluster.mail.come_back()


async def a_clock_is_wrong(cluster: Cluster, offset: str, victim: int) -> None:
    one = cluster.applications[victim]

    async def is_wrong() -> bool:
        return not await one.clock_is_right()

    cluster.clocks_agree = False
    one.set_clock(offset)
    await comes_true(is_wrong, EFFECT_SECONDS)
    await _lasts()
    one.set_clock("+0")
    await comes_true(one.clock_is_right, EFFECT_SECONDS)
    cluster.clocks_agree = True


async def a_clock_is_a_day_ahead(cluster: Cluster, _: Watch, victim: int) -> None:
    await a_clock_is_wrong(cluster, "+1d", victim)


async def a_clock_is_a_day_late(cluster: Cluster, _: Watch, victim: int) -> None:
    await a_clock_is_wrong(cluster, "-1d", victim)


async def the_disk_is_full(cluster: Cluster, watch: Watch, victim: int) -> None:
    """The one that the applications share."""
    one = cluster.applications[victim]
    ballast = one.data / "ballast"

    async def is_full() -> bool:
        return await watch.upload(one, UPLOAD) == 507

    await asyncio.to_thread(fill, ballast)
    try:
        await comes_true(is_full, EFFECT_SECONDS)
        await _lasts()
    finally:
        ballast.unlink()


async def the_applications_restart_one_by_one(cluster: Cluster, _: Watch, victim: int) -> None:
    """The one named first, then those after it."""
    for one in (*cluster.applications[victim:], *cluster.applications[:victim]):
        assert await one.stop() == 0
        await one.start()
        await one.comes_up(START_SECONDS)


FAULTS: Final[tuple[Fault, ...]] = (
    an_application_dies,
    an_application_is_killed,
    postgres_crashes,
    an_application_loses_postgres,
    an_application_is_cut_off,
    redis_crashes,
    the_mail_server_goes_away,
    a_clock_is_a_day_ahead,
    a_clock_is_a_day_late,
    the_disk_is_full,
    the_applications_restart_one_by_one,
)


def misfortunes(seed: int, *, rounds: int, applications: int) -> list[Misfortune]:
    """Every fault in each round, in a random order; the same with the same seed."""
    chance = random.Random(seed)
    faults = [fault for _ in range(rounds) for fault in chance.sample(FAULTS, len(FAULTS))]
    return [Misfortune(fault, chance.randrange(applications)) for fault in faults]
