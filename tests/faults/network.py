"""Several hosts on one machine: network namespaces on a bridge (Linux; needs root and iproute2)."""

import ctypes
import itertools
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOW_TO_GET: Final = "no network namespaces here: needs Linux, root and `apt-get install iproute2`"
LARGEST_NETWORK: Final = 254
NOBODY: Final = "02:00:00:00:00:00"
"""The hardware address of no host: what is sent there is lost, and nobody is told."""
CLONE_NEWNET: Final = 0x40000000
"""Says to setns(2) that a network is meant."""


class NetworkUnavailable(Exception):
    """No network of one's own can be had; says in one line why, or how to get one."""


@dataclass(frozen=True)
class Host:
    """One host. What runs `inside` it sees its network alone."""

    name: str
    address: str
    interface: str
    """Its end of the cable on the bridge."""

    @property
    def inside(self) -> tuple[str, ...]:
        """What to put before a command. The command keeps the process id."""
        return ("ip", "netns", "exec", self.name)

    def cut_off(self) -> None:
        """Pull its cable: nothing comes, nothing goes, and nobody is told."""
        _ip("link", "set", self.interface, "down")

    def reconnect(self) -> None:
        _ip("link", "set", self.interface, "up")

    def lose(self, other: "Host") -> None:
        """Cut the link between the two: whatever one sends to the other is lost from now on, and nobody is told."""
        for one, peer in ((self, other), (other, self)):
            nowhere = f"neighbour replace {peer.address} lladdr {NOBODY} dev eth0 nud permanent"
            _ip("-n", one.name, *nowhere.split())

    def find(self, other: "Host") -> None:
        for one, peer in ((self, other), (other, self)):
            _ip("-n", one.name, "neighbour", "delete", peer.address, "dev", "eth0")

    def new_socket(self) -> socket.socket:
        """A TCP socket of this host, whatever process uses it."""
        with ThreadPoolExecutor(1) as thread:  # of its own: where a thread has moved to, it stays
            return thread.submit(self._socket_of_this_thread).result()

    def _socket_of_this_thread(self) -> socket.socket:
        with Path("/run/netns", self.name).open() as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET):
                raise NetworkUnavailable(f"{self.name} can't be entered: {os.strerror(ctypes.get_errno())}")
            return socket.socket()


@dataclass
class Network:
    """A bridge with hosts on it. The tests themselves are at `gateway`."""

    bridge: str
    prefix: str

    def __post_init__(self) -> None:
        self._numbers = itertools.count(2)
        self._hosts: list[Host] = []

    @property
    def gateway(self) -> str:
        return f"{self.prefix}.1"

    def host(self, name: str) -> Host:
        """A new host of this name."""
        number = next(self._numbers)
        host = Host(f"{self.bridge}-{name}", f"{self.prefix}.{number}", f"{self.bridge}.{number}")
        _ip("netns", "add", host.name)
        try:
            _ip("link", "add", host.interface, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        except BaseException:
            _ip("netns", "delete", host.name)
            raise
        self._hosts.append(host)
        _ip("link", "set", host.interface, "master", self.bridge, "up")
        _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.name, "link", "set", "eth0", "up")
        _ip("-n", host.name, "link", "set", "lo", "up")
        return host

    def remove(self) -> None:
        """Take it all down; what fails keeps nothing else. The processes of its hosts must have ended."""
        with ExitStack() as stack:
            stack.callback(_ip, "link", "delete", self.bridge)
            for host in self._hosts:
                stack.callback(_ip, "netns", "delete", host.name)
                # The kernel keeps a network for as long as it has something to send there, and the cable with it.
                stack.callback(_ip, "link", "delete", host.interface)


@contextmanager
def network() -> Iterator[Network]:
    """A network that nobody else uses. Raises `NetworkUnavailable`."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip"):
        raise NetworkUnavailable(HOW_TO_GET)
    made = _new_network()
    try:
        _ip("address", "add", f"{made.gateway}/24", "dev", made.bridge)
        _ip("link", "set", made.bridge, "up")
        yield made
    finally:
        made.remove()


def _new_network() -> Network:
    for _ in range(LARGEST_NETWORK):
        number = 1 + secrets.randbelow(LARGEST_NETWORK)
        made = Network(f"portico{number}", f"10.213.{number}")
        try:
            _ip("link", "add", made.bridge, "type", "bridge")
        except NetworkUnavailable as error:
            if "exists" in str(error):
                continue
            raise NetworkUnavailable(f"{HOW_TO_GET} ({error})") from error
        return made
    raise NetworkUnavailable("all networks from 10.213.1.0/24 to 10.213.254.0/24 are in use")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise NetworkUnavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
