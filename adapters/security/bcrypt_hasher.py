"""Passwords hashed with bcrypt, away from the event loop.

bcrypt reads 72 bytes and stops. So that every character counts, a password is first made into 44 bytes: the base64 of
its HMAC-SHA256 under a fixed label. The label is no secret, and `SECRET_KEY` plays no part: a rotated or lost key must
not lock everyone out. It only keeps these digests apart from plain SHA-256 ones that leaked elsewhere.

The stored text is `portico1` and then the bcrypt hash: `portico1$2b$12$…`. A plain bcrypt hash (`$2a$`, `$2b$`, `$2y$`)
that was brought along from elsewhere is verified as it was made there, from the first 72 bytes, and is outdated.
"""

import hmac
from base64 import b64encode
from typing import Final

import bcrypt

from adapters.threads import PatientThreads
from domain.passwords import Password

SCHEME: Final = "portico1"
LABEL: Final = b"portico password scheme 1"
PLAIN_BCRYPT_BYTES: Final = 72


class BcryptHasher:
    """bcrypt at a cost of 2^`rounds` (4 to 31), on `threads` threads of its own that give way to all others.

    At most `waiting` hashes wait for a thread; beyond that `hash` and `verify` raise `Unavailable`, and also once the
    hasher is closed.
    """

    def __init__(self, rounds: int, threads: int = 2, waiting: int = 256) -> None:
        if not 4 <= rounds <= 31:
            raise ValueError("must be 4 to 31")
        self._rounds = rounds
        self._nobody = bcrypt.gensalt(rounds) + b"." * 31  # a hash to try in vain, for addresses without an account
        self._threads = PatientThreads("password-hash", threads, waiting)

    async def hash(self, password: Password) -> str:
        return await self._threads.run(self._hash, password)

    async def verify(self, password: Password, password_hash: str | None) -> bool:
        return await self._threads.run(self._verify, password, password_hash)

    def is_outdated(self, password_hash: str) -> bool:
        return not password_hash.startswith(f"{SCHEME}$2b${self._rounds:02}$")

    def close(self) -> None:
        """Give up what waits, let what has begun come to its end, and accept no more. Returns at once."""
        self._threads.close()

    def _hash(self, password: Password) -> str:
        return SCHEME + bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._rounds)).decode()

    def _verify(self, password: Password, password_hash: str | None) -> bool:
        if password_hash is None:
            bcrypt.checkpw(_digest(password), self._nobody)
            return False
        scheme, dollar, hashed = password_hash.partition("$")
        if scheme not in {SCHEME, ""}:
            return False
        secret = _digest(password) if scheme else _bytes(password)[:PLAIN_BCRYPT_BYTES]
        try:
            return bcrypt.checkpw(secret, (dollar + hashed).encode())
        except ValueError:  # it isn't a bcrypt hash, so no password is right
            return False


def _bytes(password: Password) -> bytes:
    return password.value.encode("utf-8", "surrogatepass")  # whatever was typed may be compared


def _digest(password: Password) -> bytes:
    return b64encode(hmac.digest(LABEL, _bytes(password), "sha256"))
