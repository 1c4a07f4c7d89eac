"""What can go wrong with the partner's API."""

from typing import Final

from domain.errors import Unavailable, UpstreamError

MOST_USERS: Final = 100
"""Users of the partner that may be asked for at once."""


class ExternalApiError(UpstreamError):
    """The partner answered with an error status, or with a redirect, which is not followed."""

    code = "external_api_error"
    message = "External API error"


class ExternalServiceUnavailable(Unavailable):
    """The partner is slow or away, sends what is no JSON, or is being left alone for a while.

    `retry_after` is in whole seconds, 1 or more.
    """

    code = "external_service_unavailable"
    message = "External service unavailable"

    def __init__(self, retry_after: int = Unavailable.retry_after) -> None:
        super().__init__(retry_after)
        self.retry_after = max(1, retry_after)


class ExternalServiceNotConfigured(Unavailable):
    code = "external_service_not_configured"
    message = "No external service is configured"
    retry_after = 300
