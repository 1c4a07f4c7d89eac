"""Text that is shown in one line."""

import unicodedata
from typing import Final

BREAKING: Final = frozenset({"Cc", "Zl", "Zp"})
"""Unicode's categories of control characters, and of separators of lines and paragraphs."""
BIDIRECTIONAL: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Unicode's `Bidi_Control`: with one of them, what ends in `gpj.exe` is shown as if it ended in `exe.jpg`."""


def is_one_line(text: str) -> bool:
    """Whether nothing in it begins another line or drives a terminal."""
    return not any(unicodedata.category(character) in BREAKING for character in text)
