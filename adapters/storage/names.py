"""What stored bytes are called. Paths are made of these names, so that they are looked at first."""

import re
import secrets
import time
from datetime import UTC, datetime
from typing import Final

from application.ports.storage import BlobMissing

HASH: Final = re.compile(r"[0-9a-f]{64}")
KEY: Final = re.compile(r"[0-9a-f]{32}")


def new_key() -> str:
    """For what is staged, until it is kept: the milliseconds since the epoch, and 80 bits that nobody can guess."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def made_at(key: str) -> datetime | None:
    """When `new_key` gave it; None if it didn't."""
    return datetime.fromtimestamp(int(key[:12], 16) / 1000, UTC) if KEY.fullmatch(key) else None


def checked_key(key: str) -> str:
    """Raises `BlobMissing` for what `new_key` never gave."""
    if not KEY.fullmatch(key):
        raise BlobMissing
    return key


def checked_hash(sha256: str) -> str:
    """Raises `BlobMissing` for what is no SHA-256 in lower-case hexadecimal digits."""
    if not HASH.fullmatch(sha256):
        raise BlobMissing
    return sha256
