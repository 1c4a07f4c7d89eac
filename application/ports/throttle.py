"""Counting attempts against what is allowed."""

from typing import Protocol

from domain.throttle import Limit


class Throttle(Protocol):
    async def check(self, limit: Limit, *key: str) -> None:
        """Raises `TooManyAttempts` if the allowance for this key is used up. Counts nothing."""

    async def spend(self, limit: Limit, *key: str) -> None:
        """Count one attempt. Raises `TooManyAttempts` if there was none left."""
