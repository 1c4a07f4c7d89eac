"""Sessions: a person signed in on one device, kept going by refresh tokens that are spent one after the other."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.errors import NotFound, Unauthenticated
from domain.users import UserId

REUSE_GRACE: Final = timedelta(seconds=10)
"""How long a spent refresh token may be spent again: two tabs at once, or an answer that was lost on its way."""


class InvalidRefreshToken(Unauthenticated):
    code = "invalid_refresh_token"
    message = "The refresh token is not valid. Please sign in again"


class RefreshTokenReused(Unauthenticated):
    code = "refresh_token_reused"
    message = "This refresh token was used before, so its session was signed out. Please sign in again"


class NotAuthenticated(Unauthenticated):
    code = "not_authenticated"
    message = "Not authenticated"


class InvalidAccessToken(Unauthenticated):
    code = "invalid_token"
    message = "The access token is not valid"


class SessionNotFound(NotFound):
    code = "session_not_found"
    message = "Session not found"


@dataclass(kw_only=True, slots=True)
class Session:
    """One sign-in. Revoking it deletes it, with its refresh tokens; what it issued is then worth nothing."""

    id: str
    user_id: UserId
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    ip: str | None

    def renew(self, *, now: datetime, lifetime: timedelta) -> None:
        """It was used: it lasts `lifetime` from now."""
        self.last_used_at = now
        self.expires_at = now + lifetime


@dataclass(kw_only=True, slots=True)
class RefreshToken:
    """One link in a session's chain, known by the hash of its secret."""

    token_hash: str
    session_id: str
    expires_at: datetime
    spent_at: datetime | None = None

    def spend(self, now: datetime) -> None:
        """Use the token up.

        Spending it again within `REUSE_GRACE` is innocent. Raises `RefreshTokenReused` when it comes later: then two
        parties hold it, and one of them stole it; `InvalidRefreshToken` when it has expired.
        """
        if self.spent_at is not None and now - self.spent_at > REUSE_GRACE:
            raise RefreshTokenReused
        if now >= self.expires_at:
            raise InvalidRefreshToken
        if self.spent_at is None:
            self.spent_at = now
