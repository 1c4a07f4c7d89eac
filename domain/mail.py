"""Messages that people write to people."""

from typing import Final

from domain.lines import is_one_line

LONGEST_SUBJECT: Final = 200
LONGEST_MESSAGE: Final = 50_000
"""Characters."""


def valid_subject(text: str) -> str:
    """The subject. Raises `ValueError` unless it is one line of 1 to 200 characters and not blank."""
    if not text.strip() or len(text) > LONGEST_SUBJECT:
        raise ValueError(f"A subject must be 1 to {LONGEST_SUBJECT} characters long and not blank")
    if not is_one_line(text):
        raise ValueError("A subject must be one line, without control characters")
    return text


def valid_message(text: str) -> str:
    """The message. Raises `ValueError` unless it is 1 to 50,000 characters and not blank."""
    if not text.strip() or len(text) > LONGEST_MESSAGE:
        raise ValueError(f"A message must be 1 to {LONGEST_MESSAGE} characters long and not blank")
    return text
