"""Messages that people write to people: what may be sent."""

import pytest

from domain.mail import valid_message, valid_subject


@pytest.mark.parametrize("subject", ["x", "x" * 200, "Zoë 🥛 שלום"])
def test_a_subject_of_one_line_is_taken_as_it_is(subject: str) -> None:
    assert valid_subject(subject) == subject


@pytest.mark.parametrize("subject", ["", " ", "\u2003", "\n", "x" * 201])
def test_a_subject_that_is_blank_or_too_long_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"^A subject must be 1 to 200 characters long and not blank$"):
        valid_subject(subject)


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x1b", "\u2028", "\u2029"])
def test_a_subject_of_more_than_one_line_is_refused(character: str) -> None:
    with pytest.raises(ValueError, match=r"^A subject must be one line, without control characters$"):
        valid_subject(f"Hello{character}Bcc: all@example.org")


@pytest.mark.parametrize("message", ["x", "x" * 50_000, "Two\nlines\n"])
def test_a_message_of_any_lines_is_taken_as_it_is(message: str) -> None:
    assert valid_message(message) == message


@pytest.mark.parametrize("message", ["", " \n\t", "x" * 50_001])
def test_a_message_that_is_blank_or_too_long_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=r"^A message must be 1 to 50000 characters long and not blank$"):
        valid_message(message)
