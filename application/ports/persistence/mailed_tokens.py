"""The tokens of mailed links, as they are kept."""

from datetime import datetime
from typing import Protocol

from domain.mailed_tokens import MailedToken, Purpose
from domain.users import UserId


class MailedTokens(Protocol):
    """The tokens of mailed links, inside a transaction."""

    async def replace(self, token: MailedToken) -> bool:
        """Make this the only live one of its user and purpose.

        One that was stored before and is still live takes the new expiry; one that is dead by now, used or
        superseded, stays dead: False.
        """

    async def find(self, token_hash: str) -> MailedToken | None:
        """The token, kept from others until this transaction ends, as its user is."""

    async def mark_dead(self, token: MailedToken) -> None: ...

    async def supersede(self, user_id: UserId, purpose: Purpose) -> None:
        """No token of that user and purpose is live any more."""

    async def sweep(self, now: datetime, *, limit: int) -> int:
        """Remove up to `limit` tokens that have expired; how many there were."""
