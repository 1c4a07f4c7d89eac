"""Whom attempts are counted against."""

import pytest

from domain.throttle import counted_as


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv4_address_counts_by_itself_and_an_ipv6_address_by_its_network(client: str, counted: str) -> None:
    assert counted_as(client) == counted


def test_addresses_of_one_ipv6_network_share_their_allowance_and_those_of_another_do_not() -> None:
    assert counted_as("2001:db8::1") == counted_as("2001:db8::ffff:2")
    assert counted_as("2001:db8::1") != counted_as("2001:db8:0:1::1")
