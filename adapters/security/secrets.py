"""Random and derived secrets."""

import hashlib
import hmac
import secrets
import uuid
from base64 import urlsafe_b64encode
from typing import Final

SHORTEST_KEY: Final = 32
"""Bytes."""


class SystemSecrets:
    """Secrets of 256 bits from the operating system's random source, or derived from one key by HMAC-SHA256.

    The same key may also sign access tokens: derived secrets come from a key of their own, made from it under a fixed
    label. Raises `ValueError` for a key under 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < SHORTEST_KEY:
            raise ValueError(f"must be at least {SHORTEST_KEY} bytes long")
        self._key = hmac.digest(key, b"portico derived secrets 1", "sha256")

    def new(self) -> str:
        return secrets.token_urlsafe(32)

    def new_id(self) -> str:
        return uuid.uuid4().hex

    def derived(self, purpose: str, subject: str) -> str:
        # The length keeps ("a", "bc") and ("ab", "c") apart.
        message = f"{len(purpose)}:{purpose}{subject}".encode()
        return urlsafe_b64encode(hmac.digest(self._key, message, "sha256")).rstrip(b"=").decode()

    def hash(self, secret: str) -> str:
        # A secret of 256 bits can't be guessed, so one round is enough; any text may come in, so nothing may fail here.
        return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
