"""Accounts: who they are and who may do what."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, NewType

from domain.errors import Conflict, Forbidden, NotFound, Unauthenticated
from domain.lines import is_one_line

UserId = NewType("UserId", int)

LONGEST_FULL_NAME: Final = 255
"""Characters."""
ACTIVITY_GRAIN: Final = timedelta(minutes=1)
"""How exactly it is known when somebody last used the API: one that is younger isn't written down again."""


class EmailTaken(Conflict):
    code = "email_taken"
    message = "An account with this email address already exists"


class LastSuperuser(Conflict):
    code = "last_superuser"
    message = "The last active superuser can't be deactivated, demoted or deleted"


class UserNotFound(NotFound):
    code = "user_not_found"
    message = "User not found"


class InactiveUser(Forbidden):
    code = "inactive_user"
    message = "This account has been deactivated"


class NotEnoughPrivileges(Forbidden):
    code = "not_enough_privileges"
    message = "You don't have enough privileges for this"


class RegistrationClosed(Forbidden):
    code = "registration_closed"
    message = "Registration is closed"


class InvalidCredentials(Unauthenticated):
    code = "invalid_credentials"
    message = "Incorrect email or password"


class Email(str):
    """An address in its one canonical spelling, by which accounts are told apart.

    Letters are lower-cased and composed (NFC); a domain written as an A-label is spelled in Unicode, so that both
    spellings of one domain are one address. Raises `ValueError` for what can't be an address at all. Whether the
    syntax is right to the letter (RFC 5321) is for the entrypoint's validator to say, before it gets here.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "Email":
        if len(text) > 1000:
            raise ValueError("must be an email address")  # composing it would take too long
        address = unicodedata.normalize("NFC", text.strip()).lower()
        local, at, domain = address.rpartition("@")
        if not (local and at and domain) or len(address) > 254:
            raise ValueError("must be an email address")
        if any(character.isspace() or not character.isprintable() for character in address):
            raise ValueError("must be an email address without spaces or control characters")
        return super().__new__(cls, f"{local}@{_unicode_domain(domain)}")

    @classmethod
    def known(cls, text: str) -> "Email":
        """An address that was made canonical before it was stored."""
        return str.__new__(cls, text)

    @property
    def domain(self) -> str:
        return self.rpartition("@")[2]


def _unicode_domain(domain: str) -> str:
    return ".".join(map(_unicode_label, domain.split(".")))


def _unicode_label(label: str) -> str:
    """What an A-label spells. One that doesn't spell letters, marks and digits canonically stays as it is."""
    if not label.startswith("xn--"):
        return label
    try:
        spelled = label.removeprefix("xn--").encode("ascii").decode("punycode")
    except UnicodeError:
        return label
    canonical = unicodedata.normalize("NFC", spelled).lower() == spelled and not spelled.isascii()
    plain = all(unicodedata.category(character)[0] in "LMN" or character == "-" for character in spelled)
    return spelled if canonical and plain else label


def valid_full_name(text: str | None) -> str | None:
    """The name, if there is one. Raises `ValueError` unless it is one line of 1 to 255 characters and not blank."""
    if text is None:
        return None
    if not text.strip() or len(text) > LONGEST_FULL_NAME:
        raise ValueError(f"A name must be 1 to {LONGEST_FULL_NAME} characters long and not blank")
    if not is_one_line(text):
        raise ValueError("A name must be one line, without control characters")
    return text


@dataclass(frozen=True, slots=True)
class UserChange:
    """What is to be different of an account; what is None stays as it is, and so does the name unless `rename`."""

    email: Email | None = None
    is_active: bool | None = None
    is_superuser: bool | None = None
    rename: bool = False
    full_name: str | None = None


@dataclass(kw_only=True, slots=True)
class User:
    """An account. Its id is 0 until the repository gives it one."""

    id: UserId = UserId(0)
    email: Email
    full_name: str | None = None
    password_hash: str
    is_active: bool = True
    is_verified: bool = False
    is_superuser: bool = False
    created_at: datetime
    updated_at: datetime
    last_active: datetime | None = None

    def edit(self, change: UserChange) -> None:
        """Make the change; a new address is unverified. Raises `ValueError` for a name that breaks the rules."""
        if change.rename:
            self.full_name = valid_full_name(change.full_name)
        if change.email is not None:
            self.change_email(change.email, verified=False)
        if change.is_active is not None:
            self.is_active = change.is_active
        if change.is_superuser is not None:
            self.is_superuser = change.is_superuser

    def change_email(self, email: Email, *, verified: bool) -> None:
        """Take another address. Only one that its owner has confirmed counts as verified."""
        if email != self.email:
            self.email = email
            self.is_verified = verified

    @property
    def password_mark(self) -> str:
        """Another one once the password is set or its hash made anew; it tells nothing of either (SHA-256)."""
        return sha256(self.password_hash.encode()).hexdigest()

    def was_active_lately(self, now: datetime) -> bool:
        """Whether `last_active` need not be moved forward yet."""
        return self.last_active is not None and now - self.last_active < ACTIVITY_GRAIN

    @property
    def administers(self) -> bool:
        """Whether this account can act as a superuser now."""
        return self.is_superuser and self.is_active


def must_leave_a_superuser(active: Collection[int], *, without: int) -> None:
    """Raises `LastSuperuser` if that user is the only one of the `active` superusers: somebody has to administer."""
    if set(active) == {without}:
        raise LastSuperuser


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever is asking: an active account, through one of its sessions."""

    user: User
    session_id: str

    def must_be_superuser(self) -> None:
        """Raises `NotEnoughPrivileges`."""
        if not self.user.is_superuser:
            raise NotEnoughPrivileges

    def must_be_self_or_superuser(self, user_id: int) -> None:
        """Only that user or a superuser may go on, whether that user exists or not. Raises `NotEnoughPrivileges`."""
        if self.user.id != user_id:
            self.must_be_superuser()
