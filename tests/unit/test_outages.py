"""The log of an outage: its beginning and its end."""

import logging

import pytest

from application.outages import Outage
from domain.errors import Unavailable

log = logging.getLogger("tests")


@pytest.fixture
def outage(caplog: pytest.LogCaptureFixture) -> Outage:
    caplog.set_level(logging.INFO)
    return Outage(log, "the sea can't be seen")


def test_it_is_said_when_it_begins_and_when_it_ends(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    outage.is_over()
    for _ in range(3):
        outage.goes_on(Unavailable())
    for _ in range(3):
        outage.is_over()
    outage.goes_on(Unavailable())
    assert caplog.messages == [
        "the sea can't be seen; trying again until it works",
        "over: the sea can't be seen",
        "the sea can't be seen; trying again until it works",
    ]
    assert all(record.exc_info is None for record in caplog.records)


def test_what_nobody_expected_is_shown_whole(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    outage.goes_on(Unavailable())
    outage.goes_on(KeyError("fog"))
    outage.goes_on(KeyError("fog"))
    assert [record.exc_info is not None for record in caplog.records] == [False, True]
