"""An event loop whose time passes only when there is nothing else to do, and then at once."""

import asyncio
import selectors


class _Impatient(selectors.SelectSelector):
    """Waits for nothing: it notes how long it was told to wait instead."""

    elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits for something that will never happen")
            self.elapsed += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """What sleeps for a day wakes at once, in the right order, with the right `loop.time()`.

    A wait that nothing could ever end is an error. For code without sockets and threads.
    """

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.elapsed

    def stand_still(self, seconds: float) -> None:
        """Let so much time pass in which nothing runs, as when a process is stopped."""
        self._impatient.elapsed += seconds
