import asyncio

from application.outbox import MOST_WAITING, Ending, Outbox


async def test_messages_are_taken_in_order_as_they_come() -> None:
    outbox = Outbox()
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.put("a")
    outbox.put("b")
    assert [await taking, await outbox.take()] == ["a", "b"]


async def test_where_a_thousand_wait_it_ends_and_keeps_nothing() -> None:
    outbox = Outbox()
    for number in range(MOST_WAITING - 1):
        outbox.put(str(number))
    assert len(outbox) == MOST_WAITING - 1
    outbox.put("one too many")
    assert await outbox.take() is None
    assert outbox.ending is Ending.TOO_SLOW
    outbox.put("late")
    assert len(outbox) == 0


async def test_the_first_reason_to_end_counts_and_interrupts_once() -> None:
    outbox = Outbox()
    interrupted = []
    outbox.interrupt = lambda: interrupted.append(True)
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.end(Ending.NOT_ALLOWED)
    outbox.end(Ending.TOO_MUCH)
    assert (await taking, outbox.ending, interrupted) == (None, Ending.NOT_ALLOWED, [True])


async def test_one_can_wait_until_it_is_empty_or_ends() -> None:
    outbox = Outbox()
    await outbox.emptied()
    outbox.put("a")
    waiting = asyncio.create_task(outbox.emptied())
    await asyncio.sleep(0)
    assert not waiting.done()
    await outbox.take()
    taking = asyncio.create_task(outbox.take())
    await waiting
    outbox.put("b")
    assert await taking == "b"
    outbox.put("c")
    waiting = asyncio.create_task(outbox.emptied())
    await asyncio.sleep(0)
    outbox.end(Ending.NOT_ALLOWED)
    await waiting


async def test_one_who_gives_up_taking_leaves_the_message() -> None:
    outbox = Outbox()
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    outbox.put("a")
    assert await outbox.take() == "a"
