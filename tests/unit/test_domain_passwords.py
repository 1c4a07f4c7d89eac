import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.passwords import Password, WeakPassword

UPPER, LOWER, DIGITS, OTHER = "ABZÄÉЖΩ", "abzäéжω", "0789٣५", "_- ß語🎉½²"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Short1a", "Password must be 8 to 100 characters long"),
        ("Aa1" + "x" * 98, "Password must be 8 to 100 characters long"),
        ("", "Password must be 8 to 100 characters long"),
        ("lowercase1", "Password must contain uppercase letter"),
        ("UPPERCASE1", "Password must contain lowercase letter"),
        ("NoNumbers", "Password must contain number"),
        ("NoNumber²", "Password must contain number"),
    ],
)
def test_a_weak_password_is_refused_with_the_rule_it_breaks(text: str, rule: str) -> None:
    with pytest.raises(WeakPassword) as refused:
        Password.chosen(text)
    assert str(refused.value) == rule


@pytest.mark.parametrize("text", ["Abcdefg1", "Aa1" + "x" * 97, "Zażółć gęślą 7", "Пароль-123", "Aa1🎉🎉🎉🎉🎉"])
def test_a_password_that_keeps_the_rules_is_taken_in_any_script(text: str) -> None:
    assert Password.chosen(text).value == text


@given(
    st.text(UPPER + LOWER + DIGITS + OTHER, max_size=12) | st.text(UPPER + LOWER + DIGITS, min_size=95, max_size=105)
)
def test_exactly_the_passwords_that_keep_every_rule_can_be_chosen(text: str) -> None:
    keeps_the_rules = (
        8 <= len(text) <= 100
        and any(character in UPPER for character in text)
        and any(character in LOWER + "ß" for character in text)
        and any(character in DIGITS for character in text)
    )
    try:
        Password.chosen(text)
    except WeakPassword:
        assert not keeps_the_rules
    else:
        assert keeps_the_rules


@given(st.text())
def test_two_keyboards_type_the_same_password(text: str) -> None:
    typed = Password(text)
    assert Password(unicodedata.normalize("NFD", text)) == typed
    assert Password(typed.value) == typed


def test_a_length_is_counted_as_it_is_compared() -> None:
    decomposed = "Aa1" + "e\u0301" * 97
    assert len(Password.chosen(decomposed).value) == 100
    with pytest.raises(WeakPassword):
        Password.chosen("Aa1" + "e\u0301" * 4)


def test_what_is_far_too_long_for_a_password_is_nobodys() -> None:
    assert Password("x" * 1001) == Password("y" * 2000) == Password("")
    assert Password("x" * 1000) != Password("")


def test_case_spaces_and_every_character_count() -> None:
    assert len({Password(text) for text in ("Secret 1", "secret 1", "Secret1", "Secret 1 ", "x" * 72, "x" * 73)}) == 6


def test_a_password_is_never_shown() -> None:
    assert "Secret" not in repr(Password("Secret 123")) + str(Password("Secret 123"))


@pytest.mark.parametrize("character", ["\0", "\ud800", "\udcff", "\udfff"])
def test_a_password_that_no_request_could_hold_is_refused(character: str) -> None:
    with pytest.raises(WeakPassword) as refused:
        Password.chosen(f"Correct-Horse-42{character}")
    assert str(refused.value) == "Password contains a character that can't be used"
