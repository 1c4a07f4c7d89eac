"""What waits to be sent on one connection."""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

MOST_WAITING: Final = 1000
"""Messages. Where so many wait, the connection is ended: others must not pay for one who doesn't read."""


class Ending(Enum):
    """Why a connection is ended from here."""

    NOT_ALLOWED = auto()
    """The token is over, the session was revoked, or the account can't be used any more."""
    TOO_SLOW = auto()
    TOO_MUCH = auto()


class SendQueue:
    """A bounded queue with one reader. Putting something in never waits; too much of it ends the connection.

    `interrupt`, if it is set, is called at the end: whoever sends may be waiting for one who doesn't read.
    """

    __slots__ = ("_emptied", "_news", "_waiting", "ending", "interrupt")

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.interrupt: Callable[[], object] | None = None
        self._waiting: deque[str] = deque()
        self._news: asyncio.Future[None] | None = None
        self._emptied: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: str) -> None:
        if self.ending is not None:
            return
        self._waiting.append(message)
        if len(self._waiting) >= MOST_WAITING:
            self.end(Ending.TOO_SLOW)
        elif self._news is not None:
            self._wake()

    def end(self, ending: Ending) -> None:
        """Send nothing more. The first reason counts."""
        if self.ending is None:
            self.ending = ending
            self._waiting.clear()
            self._release()
            self._wake()
            if self.interrupt is not None:
                self.interrupt()

    async def take(self) -> str | None:
        """The next message, once there is one; None once the connection is to end."""
        while not self._waiting:
            if self.ending is not None:
                return None
            self._release()
            self._news = asyncio.get_running_loop().create_future()
            try:
                await self._news
            finally:
                self._news = None
        return self._waiting.popleft()

    async def emptied(self) -> None:
        """Return when nothing waits here, or nothing is to be sent any more."""
        if self._waiting:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._emptied.append(future)
            await future

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _release(self) -> None:
        for future in self._emptied:
            if not future.done():
                future.set_result(None)
        self._emptied.clear()
