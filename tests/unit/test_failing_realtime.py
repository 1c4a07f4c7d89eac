"""Every question that is asked for WebSockets fails: all that is to be told is told, once and in order."""

import asyncio
from contextlib import suppress
from typing import Any

from application.send_queue import Ending
from tests.builders import World
from tests.unit.failing_ports import Fuse, PortFailed
from tests.unit.realtime_world import Line, a_service, an_account


async def subscribe(line: Line, after: str | None = None) -> Line:
    """As a client does: again, if it is told to try later."""
    subscribed = False
    while not subscribed:
        with suppress(PortFailed):
            await line.conversation.subscribe("items", after)
            subscribed = True
    return line


async def told(line: Line) -> list[Any]:
    """All that it hears: of a change the item, of anything else what it is."""
    return [heard["data"]["id"] if "data" in heard else heard["event"] for heard in await line.waiting()]


async def listened(fuse: Fuse) -> list[list[Any]]:
    """What three hear of four changes: one who is there, one who returns, and one who was away for too long. A fourth
    one is signed out, and heard until then."""
    world = World()
    ada, bob = await an_account(world), await an_account(world, "bob@example.org")
    async with a_service(world) as service:
        process = service.process(fuse.wire("reads", world.store))
        await service.change(ada, 1, 2)
        lines = [await subscribe(process.connect(ada), after) for after in (None, "1", "99")]
        signed_out = process.connect(bob)
        await service.change(ada, 3, told=process)
        await asyncio.sleep(1)
        await service.change(ada, 4)
        async with world.store.begin() as work:
            await work.sessions.revoke(str(bob.id), bob.id)
        await asyncio.sleep(10)
        assert signed_out.connection.send_queue.ending is Ending.NOT_ALLOWED
        assert not [line for line in lines if line.connection.send_queue.ending]
        return [await told(line) for line in lines]


EXPECTED = [["subscribed", 3, 4], ["subscribed", 2, 3, 4], ["subscribed", "reset", 3, 4]]


async def questions_for_websockets() -> list[str]:
    """All that is asked when nothing fails."""
    fuse = Fuse()
    assert await listened(fuse) == EXPECTED
    return fuse.calls


async def test_whichever_question_fails_everybody_is_told_once_and_in_order() -> None:
    questions = await questions_for_websockets()
    for number in range(len(questions)):
        for afterwards in (False, True):
            fuse = Fuse(number, afterwards)
            assert await listened(fuse) == EXPECTED, questions[number]
            assert len(fuse.calls) > number
