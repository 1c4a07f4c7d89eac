"""Make `breached.bin` anew: `python -m adapters.security.generate_breached LIST …`.

A list is a text file with one password a line, the same compressed as `.gz`, or a JSON array in a `.json` file.
"""

import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from adapters.security.breached import FILE, record
from domain.passwords import LONGEST, SHORTEST, Password


def write(lists: Iterable[Path], file: Path = FILE) -> int:
    """Write the sorted records of all passwords in these lists that could pass our rules. Returns their number."""
    records = sorted({record(password) for path in lists for password in _passwords(path) if _could_pass(password)})
    file.write_bytes(b"".join(records))
    return len(records)


def _passwords(path: Path) -> Iterator[Password]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = content.decode("utf-8", "replace")
    for line in json.loads(text) if path.suffix == ".json" else text.split("\n"):
        yield Password(line.rstrip("\r"))


def _could_pass(password: Password) -> bool:
    """Whether some spelling in capitals and small letters would be accepted: that needs two letters."""
    text = password.value
    letters = sum(character.upper() != character.lower() for character in text)
    return (
        SHORTEST <= len(text) <= LONGEST
        and letters >= 2
        and any(map(str.isdecimal, text))
        and "\N{REPLACEMENT CHARACTER}" not in text
    )


if __name__ == "__main__":
    sys.stdout.write(f"{write(map(Path, sys.argv[1:]))} passwords\n")
