"""What the partner's API knows, for those who are signed in."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from application.ports.partner import Partner
from domain.partner import ExternalApiError, ExternalServiceUnavailable
from domain.users import Actor


@dataclass(frozen=True)
class GetExternalData:
    """Raises `ExternalApiError`, `ExternalServiceUnavailable` or `ExternalServiceNotConfigured`."""

    partner: Partner

    async def __call__(self, _: Actor) -> Any:
        return await self.partner.data()


@dataclass(frozen=True, slots=True)
class FailedUser:
    """One that was asked for in vain, and why."""

    id: int
    message: str


@dataclass(frozen=True, slots=True)
class PartnerUsers:
    users: Sequence[Any]
    """Each as the partner gives it, in the order asked."""
    failed: Sequence[FailedUser]


@dataclass(frozen=True)
class GetPartnerUsers:
    """Several of the partner's users at once; one that fails never fails the rest.

    Raises `ExternalServiceNotConfigured`.
    """

    partner: Partner

    async def __call__(self, _: Actor, user_ids: Sequence[int]) -> PartnerUsers:
        """Repeated ids are asked for once. How many calls go out at once is the partner's to bound."""
        found = await asyncio.gather(*map(self._one, dict.fromkeys(user_ids)))
        return PartnerUsers(
            [user for user, failed in found if failed is None], [failed for _, failed in found if failed is not None]
        )

    async def _one(self, user_id: int) -> tuple[Any, FailedUser | None]:
        try:
            return await self.partner.user(user_id), None
        except (ExternalApiError, ExternalServiceUnavailable) as failure:
            return None, FailedUser(user_id, failure.message)
