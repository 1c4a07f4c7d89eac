"""An event loop whose time passes only when there is nothing else to do, and then at once."""

import asyncio
import selectors
from typing import Final

ENDLESS: Final = 100_000
"""So many rounds of the loop without a moment's passing are no work, but a loop that has no end."""


class _Impatient(selectors.SelectSelector):
    """Waits for nothing: it notes how long it was told to wait instead."""

    elapsed = 0.0
    rounds = 0
    """Those that were asked to wait for no time at all, one after another."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.rounds = self.rounds + 1 if timeout == 0 else 0
        if self.rounds > ENDLESS:
            self.rounds = 0  # what ends the tasks needs rounds of its own
            raise RuntimeError("something goes round and round, and never waits")
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits for something that will never happen")
            self.elapsed += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """What sleeps for a day wakes at once, in the right order, with the right `loop.time()`.

    A wait that nothing could ever end is an error, and so is work that never waits. For code without sockets and
    threads.
    """

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.elapsed

    def stand_still(self, seconds: float) -> None:
        """Let so much time pass in which nothing runs, as when a process is stopped."""
        self._impatient.elapsed += seconds
