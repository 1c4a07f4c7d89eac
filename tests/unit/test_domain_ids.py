import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import GREATEST_ID, id_in


@given(st.integers(1, GREATEST_ID) | st.sampled_from([1, GREATEST_ID]))
def test_an_id_is_found_as_it_is_written(number: int) -> None:
    assert id_in(str(number)) == number


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "+1", "01", "1.0", "1e3", " 1", "1\n", "1_0", "x", "\u0663", str(GREATEST_ID + 1), "9" * 5000],
)
def test_what_is_written_otherwise_is_none(text: str) -> None:
    assert id_in(text) is None


@given(st.text(max_size=30))
def test_any_text_may_be_asked(text: str) -> None:
    number = id_in(text)
    assert number is None or str(number) == text
