import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.search import folded, words


@pytest.mark.parametrize(
    ("text", "q"),
    [
        ("Ada Lovelace", "LOVE ada"),
        ("Straße", "STRASSE"),
        ("Ångström", "a\u030angstro\u0308m"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
        ("ﬁne", "fine"),
        ("\uff21\uff24\uff21", "ada"),
    ],
)
def test_a_text_is_found_in_any_case_and_spelling(text: str, q: str) -> None:
    assert all(word in folded(text) for word in words(q))


@given(st.text(), st.text(), st.text())
def test_a_text_is_found_by_each_part_that_it_was_made_of(before: str, q: str, after: str) -> None:
    assert all(word in folded(before, q, after) for word in words(q))


def test_parts_stay_apart() -> None:
    assert folded("Ada", "Lovelace") == "ada lovelace"


def test_what_is_not_there_counts_for_nothing() -> None:
    assert folded(None, "Ada", None) == "ada"
    assert words(None) == words("") == words("  \n ") == []


def test_a_letter_in_fancy_dress_is_found_as_the_letter_it_is() -> None:
    assert folded("\N{MATHEMATICAL BOLD CAPITAL A}da") == "ada"
