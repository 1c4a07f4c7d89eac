"""Mail: what is to be said to whom; how it is worded and delivered is the adapter's."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from application.ports.jobs import PermanentFailure
from domain.users import Email


class Letter(StrEnum):
    """Each has a template in HTML and in plain text."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a letter
    CHANGE_EMAIL = "change_email"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a letter
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    EMAIL_CHANGED = "email_changed"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Mail:
    """One letter to one person. `id` stays the same over all attempts to deliver it."""

    id: str
    letter: Letter
    to: Email
    name: str | None
    token: str | None = field(default=None, repr=False)
    """The secret that the link in the letter carries, if it has one."""
    other_email: str | None = None
    """The other address in a letter about a change of address."""
    subject: str | None = None
    message: str | None = field(default=None, repr=False)
    """What somebody wrote, in a letter that consists of that."""


class MailRejected(PermanentFailure):
    """The server refused this message for good (a 5xx of RFC 5321): another attempt would end the same way."""


class MailUndelivered(Exception):
    """The message could not be handed over now; another attempt may succeed."""


class Mailer(Protocol):
    async def send(self, mail: Mail) -> None:
        """Hand the mail over. Returns once it was accepted. Raises `MailRejected` or `MailUndelivered`.

        The message carries the current `request_id` as its `X-Request-ID`.
        """
