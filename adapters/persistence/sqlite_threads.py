"""The threads that speak with SQLite, whose driver waits for whatever it does."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from adapters.persistence.database import WAIT
from adapters.persistence.sqlite_file import connect
from domain.errors import Unavailable

T = TypeVar("T")
log = logging.getLogger(__name__)


class Threads:
    """Threads that each hold one connection. What waits for one waits here, where it can give up, and not in theirs."""

    def __init__(self, path: Path, threads: int, name: str) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = asyncio.Semaphore(threads)
        self.busy = 0
        """How many of the threads have something in their hands."""

    @property
    def opened(self) -> int:
        return len(self._connections)

    def _call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path)
            self._connections.append(connection)
        return function(connection)

    async def run(self, function: Callable[[sqlite3.Connection], T], *, patiently: bool = False) -> T:
        """What the function returns. Raises `Unavailable` if no thread is free in time, unless it is waited for
        patiently.

        What a thread has begun it ends, also if nobody waits for it any more, and is free only then.
        """
        await self._take_thread(patiently)
        doing = self._threads.submit(self._call, function)
        try:
            return await asyncio.wrap_future(doing)
        finally:
            if doing.done():
                self._let_go()
            else:
                loop = asyncio.get_running_loop()
                doing.add_done_callback(lambda _: loop.call_soon_threadsafe(self._let_go))

    async def _take_thread(self, patiently: bool) -> None:
        if patiently or not self._free.locked():
            await self._free.acquire()
        else:
            try:
                async with asyncio.timeout(WAIT):
                    await self._free.acquire()
            except TimeoutError as error:
                log.warning("the database can't be used: no thread was free in time")
                raise Unavailable from error
        self.busy += 1

    def _let_go(self) -> None:
        self.busy -= 1
        self._free.release()

    def close(self) -> None:
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()
