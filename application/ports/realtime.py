"""What is told to people at once: the changes of what is theirs, and what others say in the rooms they are in."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from domain.users import User

Show = Callable[[object], str]
"""The JSON of a thing, exactly as the API answers it."""


@dataclass(frozen=True, slots=True)
class NewChange:
    """What is to be told to a user, once the transaction is committed. `data` is JSON."""

    user_id: int
    channel: str
    event: str
    data: str


@dataclass(frozen=True, slots=True)
class Change:
    """A committed change. Of one user's changes, a later commit has the greater id."""

    id: int
    user_id: int
    channel: str
    event: str
    data: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as others see them."""

    id: int
    full_name: str | None


class Words(Protocol):
    """How it is said to a client: each makes one message."""

    def authenticated(self, user: User) -> str: ...

    def subscribed(self, channel: str) -> str: ...

    def unsubscribed(self, channel: str) -> str: ...

    def reset(self, channel: str) -> str:
        """What was missed can't be told any more."""

    def change(self, change: Change) -> str: ...

    def message(self, room: str, message_id: str, sender: Person, data: str) -> str:
        """What somebody published in a room; `data` is JSON."""

    def presence(self, room: str, people: Collection[Person]) -> str: ...

    def joined(self, room: str, person: Person) -> str: ...

    def left(self, room: str, person: Person) -> str: ...

    def said_in_lobby(self, client_id: int, text: str) -> str: ...

    def left_lobby(self, client_id: int) -> str: ...


class Listener(Protocol):
    """What a broadcaster tells what it hears. Nothing here waits or raises."""

    def heard(self, message: str) -> None:
        """Another process published this."""

    def linked(self) -> None:
        """The link to the others is there, at first or again. Something may have been missed before."""

    def cut_off(self) -> None:
        """The link is lost."""


class Broadcaster(Protocol):
    """Carries messages from each process of this service to all others, in the order each one published them.

    What is told this way may come late, and may be lost with the link or with a process: it wakes, and never carries
    what must not be lost.
    """

    def publish(self, message: str) -> None:
        """Tell the others, as soon as the link is there. Any text but lone surrogates. Never waits, never raises."""

    async def listen(self, listener: Listener) -> None:
        """Hear what others publish from now on, never what this process does, until it is cancelled."""

    async def close(self) -> None:
        """Send what still waits, if that is possible at once, and let go of the link."""
