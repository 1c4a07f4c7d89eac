"""Links to files: how long one may live."""

from datetime import timedelta

import pytest

from application.links import CreateLink
from domain.users import Actor
from tests.builders import World
from tests.unit.test_uploads import an_actor, store


@pytest.fixture
async def ada(world: World) -> Actor:
    return await an_actor(world)


def create_link(world: World) -> CreateLink:
    return CreateLink(world.store.begin, world.store, world.secrets, world.clock)


@pytest.mark.parametrize("lifetime", [timedelta(seconds=1), timedelta(days=7)])
async def test_a_link_lives_for_as_long_as_was_asked(world: World, ada: Actor, lifetime: timedelta) -> None:
    (file,) = await store(world, ada, b"tea")

    link = await create_link(world)(ada, file.id, lifetime)

    assert timedelta() <= link.expires_at - world.clock.now() - lifetime < timedelta(seconds=1)


@pytest.mark.parametrize("lifetime", [timedelta(), timedelta(milliseconds=999), timedelta(days=7, seconds=1)])
async def test_another_lifetime_is_refused(world: World, ada: Actor, lifetime: timedelta) -> None:
    (file,) = await store(world, ada, b"tea")

    with pytest.raises(ValueError, match=r"^A link must live for 1 second to 7 days$"):
        await create_link(world)(ada, file.id, lifetime)
