"""Throttles: how often something may be tried."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Protocol


@dataclass(frozen=True, slots=True, eq=False)  # equal allowances of two limits would make them one member of the enum
class Allowance:
    attempts: int
    per: timedelta


class Limit(Enum):
    """Every throttle there is. Those of sign-in and of confirming a password count failures; the others count calls."""

    SIGN_IN_ADDRESS_AND_ACCOUNT = Allowance(10, timedelta(minutes=15))
    SIGN_IN_ADDRESS = Allowance(100, timedelta(minutes=15))
    CONFIRM_PASSWORD = Allowance(10, timedelta(minutes=15))
    REGISTRATION = Allowance(60, timedelta(hours=1))
    RESEND_VERIFICATION = Allowance(60, timedelta(hours=1))
    FORGOTTEN_PASSWORD = Allowance(60, timedelta(hours=1))


class Throttle(Protocol):
    async def check(self, limit: Limit, *key: str) -> None:
        """Raises `TooManyAttempts` if the allowance for this key is used up. Counts nothing."""

    async def spend(self, limit: Limit, *key: str) -> None:
        """Count one attempt. Raises `TooManyAttempts` if there was none left."""
