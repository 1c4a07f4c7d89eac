"""The threads for slow work: bounded, giving way, and never in anybody's way."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from adapters.threads import PatientThreads
from domain.errors import Unavailable

Make = Callable[..., PatientThreads]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[PatientThreads] = []

    def make(threads: int = 1, waiting: int = 10) -> PatientThreads:
        made.append(PatientThreads("patient", threads, waiting))
        return made[-1]

    yield make
    for threads in made:
        threads.close()


class Gate:
    """Work that lasts until the gate is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._entered = threading.Semaphore(0)

    def enter(self) -> str:
        self._entered.release()
        assert self._open.wait(timeout=60)
        return "through"

    async def somebody_entered(self) -> None:
        assert await asyncio.to_thread(self._entered.acquire, timeout=60)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


async def test_what_the_work_returns_or_raises_comes_back(make: Make) -> None:
    threads = make()
    assert await threads.run(int, "12", base=3) == 5
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run(int, "twelve")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness for each thread")
async def test_they_give_way_to_all_others(make: Make) -> None:
    niceness = await make().run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert niceness == 15
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == 0


async def test_the_event_loop_goes_on_meanwhile(make: Make, gate: Gate) -> None:
    working = asyncio.create_task(make().run(gate.enter))
    await gate.somebody_entered()
    assert not working.done()
    gate.open()
    assert await working == "through"


async def test_no_more_than_the_bound_wait_and_one_that_gives_up_makes_room(make: Make, gate: Gate) -> None:
    threads = make(threads=1, waiting=1)
    first, second = (asyncio.create_task(threads.run(gate.enter)) for _ in range(2))
    await gate.somebody_entered()
    with pytest.raises(Unavailable):
        await threads.run(gate.enter)
    second.cancel()
    await asyncio.sleep(0)
    late = asyncio.create_task(threads.run(gate.enter))
    gate.open()
    assert await first == await late == "through"


async def test_places_are_free_again_after_use(make: Make) -> None:
    threads = make(threads=1, waiting=0)
    assert [await threads.run(len, "x" * n) for n in range(5)] == [0, 1, 2, 3, 4]


async def test_whoever_gives_up_is_cancelled_and_nobody_else(make: Make, gate: Gate) -> None:
    threads = make()
    first, second = (asyncio.create_task(threads.run(gate.enter)) for _ in range(2))
    await gate.somebody_entered()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.open()
    assert await second == "through"


async def test_work_that_somebody_gave_up_keeps_its_place_until_it_ends(make: Make, gate: Gate) -> None:
    threads = make(threads=1, waiting=0)
    given_up = asyncio.create_task(threads.run(gate.enter))
    await gate.somebody_entered()
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    with pytest.raises(Unavailable):
        await threads.run(gate.enter)


async def test_closing_gives_up_what_waits_lets_the_rest_end_and_accepts_no_more(make: Make, gate: Gate) -> None:
    threads = make(threads=1)
    begun = asyncio.create_task(threads.run(gate.enter))
    await gate.somebody_entered()
    waiting = asyncio.create_task(threads.run(gate.enter))
    await asyncio.sleep(0)
    threads.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await threads.run(gate.enter)
    gate.open()
    assert await begun == "through"
