"""Several hosts on one machine: network namespaces on a bridge (Linux; needs root and iproute2)."""

import itertools
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

HOW_TO_GET: Final = "no network namespaces here: needs Linux, root and `apt-get install iproute2`"
LARGEST_NETWORK: Final = 254


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
        """Whatever it sends to the other host is lost from now on."""
        _ip("-n", self.name, "route", "add", "blackhole", f"{other.address}/32")

    def find(self, other: "Host") -> None:
        _ip("-n", self.name, "route", "del", "blackhole", f"{other.address}/32")


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
        self._hosts.append(host)
        _ip("link", "add", host.interface, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        _ip("link", "set", host.interface, "master", self.bridge, "up")
        _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.name, "link", "set", "eth0", "up")
        _ip("-n", host.name, "link", "set", "lo", "up")
        return host

    def remove(self) -> None:
        """Take it all down. The processes of its hosts must have ended."""
        for host in self._hosts:
            _ip("netns", "delete", host.name)
        _ip("link", "delete", self.bridge)


@contextmanager
def network() -> Iterator[Network]:
    """A network that nobody else uses. Raises `NetworkUnavailable`."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("ip"):
        raise NetworkUnavailable(HOW_TO_GET)
    made = _new_network()
    try:
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
            raise
        _ip("address", "add", f"{made.gateway}/24", "dev", made.bridge)
        _ip("link", "set", made.bridge, "up")
        return made
    raise NetworkUnavailable("all networks from 10.213.1.0/24 to 10.213.254.0/24 are in use")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise NetworkUnavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
