from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.imports import HEADER, MOST_ERRORS, CsvRow, Import, NewItem, Overtaken, RowError, as_item, must_be_header
from domain.items import valid_description, valid_title
from domain.tasks import TaskImpossible

fields = st.lists(st.text(max_size=30), max_size=4).map(tuple)


def a_row(fields: tuple[str, ...]) -> CsvRow:
    return CsvRow(line=7, fields=fields, fault=None, end=10, end_line=8)


@given(fields)
def test_a_row_is_an_item_by_the_rules_of_items_or_is_named_with_its_line(given_fields: tuple[str, ...]) -> None:
    item = as_item(a_row(given_fields))
    if isinstance(item, RowError):
        assert item.line == 7
        assert item.reason
        assert not any(field in item.reason for field in given_fields if len(field) > 20)
    else:
        assert item == NewItem(valid_title(item.title), valid_description(item.description))
        assert len(given_fields) == len(HEADER)


def test_a_row_that_could_not_be_read_is_named_with_its_line_and_what_is_wrong_with_it() -> None:
    row = CsvRow(line=7, fields=(), fault="A quotation mark is never closed", end=10, end_line=8)
    assert as_item(row) == RowError(7, "A quotation mark is never closed")


@given(fields)
def test_only_the_header_is_a_header(given_fields: tuple[str, ...]) -> None:
    if tuple(name.strip().lower() for name in given_fields) == HEADER:
        must_be_header(a_row(given_fields))
    else:
        with pytest.raises(TaskImpossible) as refused:
            must_be_header(a_row(given_fields))
        assert (refused.value.code, str(refused.value)) == (
            "wrong_header",
            "The first line of the file must be title,description. "
            "Please correct the file, upload it again and start a new import",
        )


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=6))
def test_batches_add_up_and_the_first_errors_are_kept(batches: list[tuple[int, int]]) -> None:
    state = Import(file_id=1)
    errors = [RowError(line, "no title") for line in range(sum(rejected for _, rejected in batches))]
    ends = list(accumulate(rejected for _, rejected in batches))
    for (created, rejected), end in zip(batches, ends, strict=True):
        begins = state.position
        state.must_stand_at(begins)
        state.take(created=created, errors=errors[end - rejected : end], position=begins + 1, line=end)
        with pytest.raises(Overtaken):
            state.must_stand_at(begins)
    assert (state.created, state.rejected) == (sum(created for created, _ in batches), len(errors))
    assert state.errors == errors[:MOST_ERRORS]
    assert state.position == len(batches)


def test_who_comes_once_it_is_finished_is_overtaken() -> None:
    with pytest.raises(Overtaken):
        Import(file_id=1, finished=True).must_stand_at(0)
