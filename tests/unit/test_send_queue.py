import asyncio

from application.send_queue import MOST_WAITING, Ending, SendQueue


async def test_messages_are_taken_in_order_as_they_come() -> None:
    send_queue = SendQueue()
    taking = asyncio.create_task(send_queue.take())
    await asyncio.sleep(0)
    send_queue.put("a")
    send_queue.put("b")
    assert [await taking, await send_queue.take()] == ["a", "b"]


async def test_where_a_thousand_wait_it_ends_and_keeps_nothing() -> None:
    send_queue = SendQueue()
    for number in range(MOST_WAITING - 1):
        send_queue.put(str(number))
    assert len(send_queue) == MOST_WAITING - 1
    send_queue.put("one too many")
    assert await send_queue.take() is None
    assert send_queue.ending is Ending.TOO_SLOW
    send_queue.put("late")
    assert len(send_queue) == 0


async def test_the_first_reason_to_end_counts_and_interrupts_once() -> None:
    send_queue = SendQueue()
    interrupted = []
    send_queue.interrupt = lambda: interrupted.append(True)
    taking = asyncio.create_task(send_queue.take())
    await asyncio.sleep(0)
    send_queue.end(Ending.NOT_ALLOWED)
    send_queue.end(Ending.TOO_MUCH)
    assert (await taking, send_queue.ending, interrupted) == (None, Ending.NOT_ALLOWED, [True])


async def test_one_can_wait_until_it_is_empty_or_ends() -> None:
    send_queue = SendQueue()
    await send_queue.emptied()
    send_queue.put("a")
    waiting = asyncio.create_task(send_queue.emptied())
    await asyncio.sleep(0)
    assert not waiting.done()
    await send_queue.take()
    taking = asyncio.create_task(send_queue.take())
    await waiting
    send_queue.put("b")
    assert await taking == "b"
    send_queue.put("c")
    waiting = asyncio.create_task(send_queue.emptied())
    await asyncio.sleep(0)
    send_queue.end(Ending.NOT_ALLOWED)
    await waiting


async def test_one_who_gives_up_taking_leaves_the_message() -> None:
    send_queue = SendQueue()
    taking = asyncio.create_task(send_queue.take())
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    send_queue.put("a")
    assert await send_queue.take() == "a"
