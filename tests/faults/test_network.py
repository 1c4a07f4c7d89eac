"""The network of the test with several hosts: cuts that nobody is told of, and nothing that stays afterwards."""

import socket
import subprocess
from contextlib import closing
from typing import Final

import pytest

from tests.faults.network import Host, Network, NetworkUnavailable, network

SOON: Final = 0.5
"""Seconds for which an answer is waited for that must not come."""


def connection(one: Host, other: Host) -> tuple[socket.socket, socket.socket]:
    """Both ends."""
    with closing(other.new_socket()) as listener:
        listener.bind((other.address, 0))
        listener.listen()
        client = one.new_socket()
        client.settimeout(20)
        client.connect(listener.getsockname())
        return client, listener.accept()[0]


def test_a_link_that_is_cut_loses_what_is_sent_and_no_other_link_does(hosts: Network) -> None:
    one, other, third = (hosts.host(name) for name in ("one", "other", "third"))
    client, server = connection(one, other)
    with closing(client), closing(server), closing(one.new_socket()) as late:
        server.settimeout(SOON)
        one.lose(other)
        client.send(b"hello")
        with pytest.raises(TimeoutError):
            server.recv(5)
        late.settimeout(SOON)
        with pytest.raises(TimeoutError):  # and not at once: nobody is there to refuse it
            late.connect(server.getsockname())
        for end in connection(one, third):
            end.close()
        one.find(other)
        server.settimeout(20)
        assert server.recv(5) == b"hello"


def test_nothing_of_it_stays_though_something_was_never_delivered() -> None:
    try:
        with network() as made:
            one, other = made.host("one"), made.host("other")
            client, server = connection(one, other)
            with closing(client), closing(server):
                other.cut_off()
                client.send(b"hello")
    except NetworkUnavailable as reason:
        pytest.skip(str(reason))

    for listing in (("link", "show"), ("netns", "list")):
        shown = subprocess.run(["ip", *listing], capture_output=True, text=True, check=True).stdout
        assert f"{made.bridge}." not in shown
        assert f"{made.bridge}-" not in shown
