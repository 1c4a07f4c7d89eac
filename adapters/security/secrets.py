"""Random and derived secrets."""

import hashlib
import hmac
import secrets
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

SHORTEST_KEY: Final = 32
"""Bytes."""


class SystemSecrets:
    """Secrets of 256 bits from the operating system's random source, or derived from one key by HMAC-SHA256.

    The same key may also sign access tokens: derived secrets come from a key of their own, made from it under a fixed
    label. What was derived from a `previous` key is still known. Raises `ValueError` for a key under 32 bytes.
    """

    def __init__(self, key: bytes, previous: Sequence[bytes] = ()) -> None:
        if any(len(each) < SHORTEST_KEY for each in (key, *previous)):
            raise ValueError(f"must be at least {SHORTEST_KEY} bytes long")
        self._keys = [hmac.digest(each, b"portico derived secrets 1", "sha256") for each in (key, *previous)]

    def new(self) -> str:
        return secrets.token_urlsafe(32)

    def new_id(self) -> str:
        return uuid.uuid4().hex

    def derived(self, purpose: str, subject: str) -> str:
        return _derived(self._keys[0], purpose, subject).decode()

    def is_derived(self, secret: str, purpose: str, subject: str) -> bool:
        given = secret.encode(errors="replace")
        return any(hmac.compare_digest(given, _derived(key, purpose, subject)) for key in self._keys)

    def hash(self, secret: str) -> str:
        # A secret of 256 bits can't be guessed, so one round is enough; any text may come in, so nothing may fail here.
        return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _derived(key: bytes, purpose: str, subject: str) -> bytes:
    # The length keeps ("a", "bc") and ("ab", "c") apart.
    message = f"{len(purpose)}:{purpose}{subject}".encode()
    return urlsafe_b64encode(hmac.digest(key, message, "sha256")).rstrip(b"=")
