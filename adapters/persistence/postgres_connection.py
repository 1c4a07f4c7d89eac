"""A connection to PostgreSQL that notices when the network loses what it sends."""

import socket
from typing import Any, Final

import asyncpg

SILENCE_SECONDS: Final = 5
"""For how long the host of the database may say nothing at all, not even that it got something: it is asked at rest,
too. A busy or frozen database is no silence, since its kernel answers."""
_ASKED_AFTER: Final = 2
_ASKED_EVERY: Final = 1
_OPTIONS: Final = {
    "TCP_KEEPIDLE": _ASKED_AFTER,
    "TCP_KEEPINTVL": _ASKED_EVERY,
    "TCP_KEEPCNT": SILENCE_SECONDS - _ASKED_AFTER,
    "TCP_USER_TIMEOUT": 1000 * SILENCE_SECONDS,
}
"""RFC 9293 section 3.8.3 and 3.8.4, as far as the system has them."""


class AttentiveConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """Lost after `SILENCE_SECONDS`, and with it the statement under way.

    TCP by itself sends again at ever longer intervals, so after an outage a statement would hang on for as long again
    as that has lasted.
    """

    def __init__(self, protocol: Any, transport: Any, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        link = transport.get_extra_info("socket")
        if link.family in (socket.AF_INET, socket.AF_INET6):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _OPTIONS.items():
                if hasattr(socket, name):
                    link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
