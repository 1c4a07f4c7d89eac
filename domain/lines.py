"""Text that is shown in one line."""

import unicodedata
from typing import Final

BREAKING: Final = frozenset({"Cc", "Zl", "Zp"})
"""Unicode's categories of control characters, and of separators of lines and paragraphs."""


def is_one_line(text: str) -> bool:
    """Whether nothing in it begins another line or drives a terminal."""
    return not any(unicodedata.category(character) in BREAKING for character in text)
