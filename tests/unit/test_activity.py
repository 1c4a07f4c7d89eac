"""Who was active, noticed in passing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from application.activity import MOST, PAUSE, Activity
from application.ports.persistence import Work
from application.sessions import Authenticate
from domain.users import ACTIVITY_GRAIN, InactiveUser
from tests.builders import World, a_user


@asynccontextmanager
async def running(activity: Activity) -> AsyncIterator[None]:
    task = asyncio.create_task(activity.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def pause() -> None:
    """Time for one round of writing. It is the event loop's, which is virtual here."""
    await asyncio.sleep(PAUSE.total_seconds() + 1)


async def test_who_uses_the_api_is_written_down_soon(world: World) -> None:
    ada, bob = await world.has(), await world.has("bob@example.org")
    pair = await world.signed_in(ada)
    async with running(world.activity):
        await world.authenticate(pair.access_token)
        assert (await world.store.user(ada.id)).last_active is None
        await pause()

    assert (await world.store.user(ada.id)).last_active == world.clock.now()
    assert (await world.store.user(bob.id)).last_active is None


async def test_once_a_minute_is_enough(world: World) -> None:
    ada = await world.has()
    pair = await world.signed_in(ada)
    written = 0

    @asynccontextmanager
    async def counted() -> AsyncIterator[Work]:
        nonlocal written
        written += 1
        async with world.store.begin() as work:
            yield work

    activity = Activity(counted, world.clock)
    authenticate = Authenticate(world.tokens, world.store, world.clock, activity)
    async with running(activity):
        seen = set()
        for _ in range(13):
            await authenticate(pair.access_token)
            await pause()
            seen.add((await world.store.user(ada.id)).last_active)
            world.clock.advance(timedelta(seconds=5))

    first = world.clock.now() - 13 * timedelta(seconds=5)
    assert seen == {first, first + ACTIVITY_GRAIN}
    assert written == 2


async def test_who_may_not_use_the_api_is_not_active(world: World) -> None:
    ada = await world.has()
    pair = await world.signed_in(ada)
    async with world.store.begin() as work:
        ada.is_active = False
        await work.users.save(ada)
    with pytest.raises(InactiveUser):
        await world.authenticate(pair.access_token)
    await world.activity.write()

    assert (await world.store.user(ada.id)).last_active is None


async def test_while_the_database_is_away_it_waits_and_requests_do_not(world: World) -> None:
    ada = await world.has()
    async with running(world.activity):
        world.store.available = False
        world.activity.note(ada, world.clock.now())
        await pause()
        world.store.available = True
        await pause()

    assert (await world.store.user(ada.id)).last_active == world.clock.now()


async def test_what_is_noted_is_bounded_and_who_comes_on_top_is_noted_later(world: World) -> None:
    ada, bob = await world.has(), await world.has("bob@example.org")
    now = world.clock.now()
    for number in range(MOST - 1):
        world.activity.note(a_user(id=1000 + number), now)
    world.activity.note(ada, now)
    world.activity.note(bob, now)
    await world.activity.write()
    assert (await world.store.user(ada.id)).last_active == now
    assert (await world.store.user(bob.id)).last_active is None

    world.activity.note(bob, now)
    await world.activity.write()
    assert (await world.store.user(bob.id)).last_active == now
