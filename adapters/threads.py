"""A few threads for work that is slow on purpose or by nature: away from the event loop, and giving way to all else."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from domain.errors import Unavailable

NICENESS: Final = 15

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class PatientThreads:
    """`threads` threads, started when they are needed. At most `waiting` calls wait for one; beyond that `run` raises
    `Unavailable`, and also once they are closed.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._places = threading.BoundedSemaphore(threads + waiting)
        self._executor = ThreadPoolExecutor(threads, name, initializer=_give_way)

    async def run(
        self, work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """What `work` returns or raises. Whoever stops waiting leaves work that has begun to come to its end."""
        if not self._places.acquire(blocking=False):
            raise Unavailable
        try:
            future: Future[Result] = self._executor.submit(work, *arguments, **named)
        except RuntimeError:  # they have been closed
            self._places.release()
            raise Unavailable from None
        # Not when the caller stops waiting: work that has begun keeps its thread busy to the end.
        future.add_done_callback(lambda _: self._places.release())
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Unavailable from None  # it was `close` that gave it up

    def close(self) -> None:
        """Give up what waits, let what has begun come to its end, and accept no more. Returns at once."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _give_way() -> None:
    if sys.platform == "linux":  # where each thread has a niceness of its own
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
