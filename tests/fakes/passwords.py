"""Hashing that is fast, and a short list of leaked passwords."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256

from domain.passwords import Password
from tests.fakes.transactions import must_be_outside_a_transaction

CURRENT = "plain:"
OLD = "old:"


def plain_hash(password: str, *, scheme: str = CURRENT) -> str:
    """What `PlainHasher` makes of the password; `scheme="old:"` is one that it takes for outdated."""
    return scheme + sha256(Password(password).value.encode()).hexdigest()


@dataclass
class PlainHasher:
    """A `PasswordHasher` without salt or cost.

    It counts what it does, and `while_hashing`, if it is set, is awaited before each answer: the place for what
    happens meanwhile. It refuses to be called inside a transaction.
    """

    hashed: int = 0
    verified: list[str | None] = field(default_factory=list)
    """The hashes that a password was compared with."""
    while_hashing: Callable[[], Awaitable[None]] | None = None

    async def hash(self, password: Password) -> str:
        await self._take_time()
        self.hashed += 1
        return plain_hash(password.value)

    async def verify(self, password: Password, password_hash: str | None) -> bool:
        await self._take_time()
        self.verified.append(password_hash)
        return password_hash in (plain_hash(password.value), plain_hash(password.value, scheme=OLD))

    def is_outdated(self, password_hash: str) -> bool:
        return password_hash.startswith(OLD)

    async def _take_time(self) -> None:
        must_be_outside_a_transaction("hashing a password")
        await asyncio.sleep(0)
        if self.while_hashing is not None:
            await self.while_hashing()


@dataclass(frozen=True)
class FixedBreachedPasswords:
    """`BreachedPasswords` with a list of its own."""

    leaked: frozenset[str] = frozenset({"password1", "letmein123"})
    """In lower case."""

    async def contains(self, password: Password) -> bool:
        return password.value.lower() in self.leaked
