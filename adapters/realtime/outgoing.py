"""What is on its way to the other processes, and what came from them before."""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from itertools import count
from typing import Final

from application.ports.realtime import Listener

MOST_WAITING: Final = 10_000
"""Messages. While the link is away for long, the oldest are given up."""
MOST_CHARACTERS: Final = 2**25
"""In all of them together: a message may be some hundred thousand long."""
AT_ONCE: Final = 64
PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
CLOSING_SECONDS: Final = 1.0
MOST_SENDERS: Final = 1000

log = logging.getLogger(__name__)

Numbered = tuple[int, str]
"""A message, and the place it has in what its sender ever sent: one that is sent again is known by it."""


def end_if_cancelled() -> None:
    """Ends a task that was told to end but not by whom it waited for: redis-py may keep a cancellation to itself."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Outgoing:
    """Sends messages in their order, several at once, and again until they are sent. `lost` are the errors that may
    pass."""

    def __init__(
        self, send: Callable[[Sequence[Numbered]], Awaitable[None]], lost: Callable[[], tuple[type[Exception], ...]]
    ) -> None:
        self._send = send
        self._lost = lost
        self._numbers = count(1)
        self._waiting: deque[Numbered] = deque()
        self._characters = 0
        """Of what waits."""
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    def put(self, message: str) -> None:
        self._waiting.append((next(self._numbers), message))
        self._characters += len(message)
        while len(self._waiting) > MOST_WAITING or self._characters > MOST_CHARACTERS:
            self._take_off()
        self._idle.clear()
        self._news.set()
        if self._sending is None:
            # It outlasts the request of the first message: what it says is no part of that.
            self._sending = asyncio.create_task(self._run(), name="broadcasting", context=Context())

    async def close(self) -> None:
        """Send what still waits, if it can be done within a second."""
        if self._sending is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await self._idle.wait()
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _run(self) -> None:
        pause = PAUSE
        while True:
            end_if_cancelled()
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                end_if_cancelled()
                batch = [self._waiting[n] for n in range(min(len(self._waiting), AT_ONCE))]
                try:
                    await self._send(batch)
                except Exception as error:
                    if not isinstance(error, self._lost()):
                        log.exception("a message to the other processes can't be sent")
                    elif pause == PAUSE:
                        log.warning("the other processes can't be told: %s; trying again", type(error).__name__)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                if pause != PAUSE:
                    log.info("the other processes are told again")
                pause = PAUSE
                sent = batch[-1][0]
                while self._waiting and self._waiting[0][0] <= sent:
                    self._take_off()
            self._idle.set()

    def _take_off(self) -> None:
        """The oldest."""
        _, message = self._waiting.popleft()
        self._characters -= len(message)


class Link:
    """Whether the others can be heard. The listener and the log are told when that ends and when it begins again, once
    each, however often it is tried meanwhile."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._is_lost = False

    def stands(self) -> None:
        if self._is_lost:
            log.info("the other processes are heard again")
        self._is_lost = False
        self._listener.linked()

    def is_lost(self, error: Exception) -> None:
        if not self._is_lost:
            self._listener.cut_off()
            log.warning("the other processes can't be heard: %s; trying again until they can", type(error).__name__)
        self._is_lost = True


class Senders:
    """Which message each of the others sent last, so that none is heard twice."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()

    def is_new(self, sender: str, number: int) -> bool:
        """Whether this is beyond all that was heard of that sender; from now on it is not."""
        if number <= self._last.get(sender, 0):
            return False
        self._last[sender] = number
        self._last.move_to_end(sender)
        if len(self._last) > MOST_SENDERS:
            self._last.popitem(last=False)
        return True
