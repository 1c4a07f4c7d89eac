"""The ids of users, items and files: integers from 1 to the greatest that the databases hold."""

import re
from typing import Final

GREATEST_ID: Final = 2**63 - 1

_DIGITS: Final = re.compile(r"[1-9][0-9]{0,18}")


def id_in(text: str) -> int | None:
    """The id that stands there, in the one way to write it; None if it is anything else."""
    return id_ if _DIGITS.fullmatch(text) and (id_ := int(text)) <= GREATEST_ID else None
