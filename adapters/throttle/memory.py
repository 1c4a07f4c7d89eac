"""A moving window kept in this process, in bounded memory."""

import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from typing import Final

from limits.aio.storage import MemoryStorage

MOST_KEYS: Final = 50_000
"""For each throttle."""


class BoundedMemoryStorage(MemoryStorage):
    """The library's memory storage, with moving windows whose cost doesn't grow with the number of keys.

    The library's own looks through all keys after each attempt, in a thread for each: half a second for 6,000 of them.
    Here the keys of a throttle stand in the order of their last attempts, so those that have expired are at the front.
    Beyond `MOST_KEYS` of one throttle, the one without an attempt for the longest time is forgotten.
    """

    def __init__(self) -> None:
        super().__init__()
        self._throttles: dict[str, OrderedDict[str, array[float]]] = {}

    @property
    def size(self) -> int:
        """How many keys are remembered."""
        return sum(map(len, self._throttles.values()))

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count `amount` attempts if that many are left of `limit` in the last `expiry` seconds."""
        now = time.time()
        keys = self._throttles.setdefault(_throttle(key), OrderedDict())
        _forget_before(now - expiry, keys)
        attempts = _since(now - expiry, keys.get(key))
        if len(attempts) + amount > limit:
            return False
        attempts.extend([now] * amount)
        keys[key] = attempts
        keys.move_to_end(key)
        if len(keys) > MOST_KEYS:
            keys.popitem(last=False)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """When the oldest attempt of the last `expiry` seconds was (Unix time), and how many there were."""
        now = time.time()
        keys = self._throttles.get(_throttle(key))
        attempts = _since(now - expiry, keys.get(key) if keys else None)
        return (attempts[0], len(attempts)) if attempts else (now, 0)


def _throttle(key: str) -> str:
    return key.partition("/")[0]  # the library puts the namespace of the limit there


def _since(start: float, attempts: "array[float] | None") -> "array[float]":
    return attempts[bisect_left(attempts, start) :] if attempts else array("d")


def _forget_before(start: float, keys: "OrderedDict[str, array[float]]") -> None:
    while keys and next(iter(keys.values()))[-1] < start:
        keys.popitem(last=False)
