"""The partner that there is when none is configured."""

from typing import Any

from domain.partner import ExternalServiceNotConfigured


class NoPartner:
    """Implements `Partner`: every call raises `ExternalServiceNotConfigured`."""

    async def data(self) -> Any:
        raise ExternalServiceNotConfigured

    async def user(self, user_id: int) -> Any:  # noqa: ARG002 - whoever it is
        raise ExternalServiceNotConfigured

    async def close(self) -> None:
        """Nothing to let go of."""
