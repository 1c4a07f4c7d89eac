"""What stored bytes are called. Paths are made of these names, so that they are looked at first."""

import re
from typing import Final
from uuid import uuid4

from application.ports.storage import BlobMissing

HASH: Final = re.compile(r"[0-9a-f]{64}")
KEY: Final = re.compile(r"[0-9a-f]{32}")


def new_key() -> str:
    """For what is staged, until it is kept."""
    return uuid4().hex


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
