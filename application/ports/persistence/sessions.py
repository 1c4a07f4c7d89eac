"""The sessions and their refresh tokens, as they are kept."""

from datetime import datetime
from typing import Protocol

from domain.sessions import RefreshToken, Session
from domain.users import UserId


class Sessions(Protocol):
    """The sessions and their refresh tokens, inside a transaction."""

    async def add(self, session: Session) -> None: ...

    async def save(self, session: Session) -> None: ...

    async def find_by_refresh_token(self, token_hash: str) -> tuple[Session, RefreshToken] | None:
        """The token and its session, kept from others until this transaction ends, as their user is."""

    async def add_refresh_token(self, token: RefreshToken) -> None: ...

    async def mark_spent(self, token: RefreshToken) -> None: ...

    async def revoke(self, session_id: str, user_id: UserId) -> bool:
        """End that session of that user; False if there is none."""

    async def revoke_all(self, user_id: UserId, *, but: str | None = None) -> None:
        """End all sessions of that user, but one if it is named."""

    async def sweep(self, now: datetime, *, limit: int) -> int:
        """Remove up to `limit` sessions and as many refresh tokens that have expired; how many there were."""
