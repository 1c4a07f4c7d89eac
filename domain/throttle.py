"""How often something may be tried, and against whom that is counted."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from ipaddress import IPv4Address, ip_address, ip_network


@dataclass(frozen=True, slots=True, eq=False)  # equal allowances of two limits would make them one member of the enum
class Allowance:
    attempts: int
    per: timedelta


class Limit(Enum):
    """Every throttle there is. Those of sign-in and of confirming a password count failures; the others count calls."""

    SIGN_IN_ADDRESS_AND_ACCOUNT = Allowance(10, timedelta(minutes=15))
    SIGN_IN_ADDRESS = Allowance(100, timedelta(minutes=15))
    CONFIRM_PASSWORD = Allowance(10, timedelta(minutes=15))
    REGISTRATION = Allowance(60, timedelta(hours=1))
    RESEND_VERIFICATION = Allowance(60, timedelta(hours=1))
    FORGOTTEN_PASSWORD = Allowance(60, timedelta(hours=1))
    EMAIL_CHANGE = Allowance(60, timedelta(hours=1))
    WRITTEN_MAIL = Allowance(60, timedelta(hours=1))


def counted_as(client: str) -> str:
    """The address that attempts of this client are counted against: with IPv6 the /64 network, which is what one
    party has, so that nobody gets a fresh allowance with each of its addresses."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv4Address):
        return client
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))
