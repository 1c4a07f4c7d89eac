"""Passwords as people type them."""

import unicodedata
from dataclasses import dataclass, field
from typing import Final

from domain.errors import Forbidden, Invalid

SHORTEST: Final = 8
LONGEST: Final = 100
LONGEST_RAW: Final = 1000
"""Characters before they are composed: enough for any 100 letters with their accents."""


class WeakPassword(ValueError):
    """A password that breaks a rule; the text says which, never the password."""


class PasswordTooCommon(Invalid):
    code = "password_too_common"
    message = "This password appears in lists of leaked passwords. Please choose another one"


class WrongPassword(Forbidden):
    code = "wrong_password"
    message = "The password is not correct"


@dataclass(frozen=True, slots=True)
class Password:
    """A password as it is compared: NFC-normalised, so that two keyboards type the same one. Never shown.

    Any text may be compared; only one from `Password.chosen` may be set.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) > LONGEST_RAW:
            object.__setattr__(self, "value", "")  # nobody's password, and composing it would take too long
        object.__setattr__(self, "value", unicodedata.normalize("NFC", self.value))

    @classmethod
    def chosen(cls, text: str) -> "Password":
        """A new password. Raises `WeakPassword` unless it is 8 to 100 characters with both cases and a digit.

        NUL and lone surrogates are refused: nobody could sign in with them.
        """
        password = cls(text)
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in password.value):
            raise WeakPassword("Password contains a character that can't be used")
        if not SHORTEST <= len(password.value) <= LONGEST:
            raise WeakPassword(f"Password must be {SHORTEST} to {LONGEST} characters long")
        for present, needed in (
            (str.isupper, "uppercase letter"),
            (str.islower, "lowercase letter"),
            (str.isdecimal, "number"),
        ):
            if not any(present(character) for character in password.value):
                raise WeakPassword(f"Password must contain {needed}")
        return password
