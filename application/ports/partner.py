"""The partner's API: data that somebody else keeps."""

from typing import Any, Protocol


class Partner(Protocol):
    """Each call takes no longer than the time allowed, all waiting and every retry included.

    Raises `ExternalApiError`, `ExternalServiceUnavailable` or `ExternalServiceNotConfigured`.
    """

    async def data(self) -> Any:
        """The partner's data, whatever JSON that is."""

    async def user(self, user_id: int) -> Any:
        """One of the partner's users, whatever JSON that is."""
