"""The tokens in mailed links: single-use, for one purpose, for the address they were sent to, for a limited time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.errors import Refusal
from domain.users import Email, UserId


class InvalidMailedToken(Refusal):
    """One that is unknown, used, superseded, expired or meant for something else."""

    code = "invalid_token"
    message = "This link is no longer valid. Please ask for a new one"


class Purpose(StrEnum):
    VERIFY_EMAIL = "verify-email"
    RESET_PASSWORD = "reset-password"  # noqa: S105 - the name of a purpose
    CHANGE_EMAIL = "change-email"

    @property
    def lifetime(self) -> timedelta:
        return timedelta(hours=1) if self is Purpose.RESET_PASSWORD else timedelta(hours=24)


@dataclass(kw_only=True, slots=True)
class MailedToken:
    """What we keep of a mailed token: the hash of its secret. At most one per user and purpose is live."""

    token_hash: str
    user_id: UserId
    purpose: Purpose
    email: Email
    expires_at: datetime
    dead: bool = False

    def is_live(self, purpose: Purpose, now: datetime) -> bool:
        return not self.dead and self.purpose is purpose and now < self.expires_at

    def redeem(self, purpose: Purpose, now: datetime) -> None:
        """Use it up. Raises `InvalidMailedToken` if it is dead, expired or meant for something else."""
        if not self.is_live(purpose, now):
            raise InvalidMailedToken
        self.dead = True
