"""Secrets: hashing passwords, issuing and believing tokens."""

from dataclasses import dataclass
from typing import Protocol

from domain.passwords import Password
from domain.users import UserId


class PasswordHasher(Protocol):
    async def hash(self, password: Password) -> str:
        """A salted hash, slow on purpose. Never called inside a transaction."""

    async def verify(self, password: Password, password_hash: str | None) -> bool:
        """Whether it is the password of that hash. Without a hash it takes the same time and is False."""

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made by an older scheme or at another cost, so that it should be made anew."""


class BreachedPasswords(Protocol):
    async def contains(self, password: Password) -> bool:
        """Whether the password, in any case, is on a list of well-known leaked ones."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid access token says."""

    user_id: UserId
    session_id: str
    expires_at: float
    """Seconds since the epoch."""


class AccessTokens(Protocol):
    """Access tokens: JSON Web Tokens of type `at+jwt` (RFC 9068 in form, RFC 7519)."""

    lifetime_seconds: int

    def issue(self, user_id: UserId, session_id: str) -> str:
        """A new token for this session."""

    def verify(self, token: str) -> Claims:
        """What the token says. Raises `InvalidAccessToken` unless every part of it holds."""


class Secrets(Protocol):
    """Random and derived secrets with at least 256 bits, in URL-safe text."""

    def new(self) -> str:
        """A new random secret."""

    def new_id(self) -> str:
        """A new random identifier: unguessable, but not a secret."""

    def derived(self, purpose: str, subject: str) -> str:
        """The one secret that belongs to this purpose and subject, the same each time it is asked for."""

    def is_derived(self, secret: str, purpose: str, subject: str) -> bool:
        """Whether that is the secret which belongs to them, now or before the key was changed for the present one."""

    def hash(self, secret: str) -> str:
        """What may be stored of a secret."""
