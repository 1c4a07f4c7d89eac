"""Ports for servers that can't be told to take any that is free."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port below those that outgoing connections take. It stays ours: nobody else who reserves one gets it."""
    while True:
        with socket.socket() as reservation:
            port = 20_000 + secrets.randbelow(12_000)
            try:
                reservation.bind(("127.0.0.1", port))
            except OSError:
                continue
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # from now on a server may listen there
            yield port
            return
