"""Who is in which room, over all processes.

Each process says who comes to and goes from its own rooms, numbering what it says, and shows now and then that it is
alive. Whoever finds a number missing asks for the whole. A process that says nothing for too long is gone, and so are
its people. As long as somebody is there through any process, it is one presence.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from application.ports.realtime import Person

HEARTBEAT: Final = timedelta(seconds=4)
SILENCE: Final = timedelta(seconds=16)
"""After which a process counts as gone. With one heartbeat more it makes less than the 30 s that are promised."""

People = dict[str, dict[int, Person]]
"""By room, then by id."""


class _Peer:
    """Another process, as far as it told."""

    heard_at: float

    def __init__(self) -> None:
        self.number: int | None = None
        """Of what it said last; None until it told the whole."""
        self.people: People = {}
        self.was_asked = False
        """For the whole; once is enough until it shows that it is alive again."""


class Presence:
    """`joined` and `left` are told when a person comes to or goes from a room, wherever that is."""

    joined: Callable[[str, Person], None]
    left: Callable[[str, Person], None]

    def __init__(self, name: str, tell: Callable[..., None]) -> None:
        self._name = name
        self._tell = tell
        self._number = 0
        self._here: People = {}
        self._peers: dict[str, _Peer] = {}
        self._linked = False

    def enter(self, room: str, person: Person) -> None:
        """This person is in the room through this process now."""
        new = not self._is_in(room, person.id)
        self._here.setdefault(room, {})[person.id] = person
        self._number += 1
        self._tell("entered", by=self._name, number=self._number, room=room, person=_written(person))
        if new:
            self.joined(room, person)

    def leave(self, room: str, user_id: int) -> None:
        """This person is no longer in the room through this process."""
        person = _removed(self._here, room, user_id)
        self._number += 1
        self._tell("went", by=self._name, number=self._number, room=room, user_id=user_id)
        if not self._is_in(room, user_id):
            self.left(room, person)

    def people(self, room: str) -> Collection[Person]:
        """Who is in the room, by their ids."""
        people = {user_id: person for some in self._all() for user_id, person in some.get(room, {}).items()}
        return [people[user_id] for user_id in sorted(people)]

    def linked(self) -> None:
        """The link to the others is there: ask for what was missed, and tell what they missed. Silence begins anew."""
        self._linked = True
        self._begin_silence_anew()
        self._tell("who", of=None)
        self._tell_the_whole()

    def cut_off(self) -> None:
        """While nobody can be heard, nobody's silence means anything."""
        self._linked = False

    def heard(self, kind: str, message: Mapping[str, Any]) -> None:
        """Something that another process's presence told."""
        if kind == "who":
            if message["of"] in (None, self._name):
                self._tell_the_whole()
            return
        name = message["by"]
        if kind == "stopped":
            self._drop(name)
            return
        peer = self._peers.setdefault(name, _Peer())
        peer.heard_at = _now()
        if kind == "whole":
            self._replace(peer, message)
        elif kind == "alive":
            peer.was_asked = False
            if peer.number != message["number"]:
                self._ask(name, peer)
        elif peer.number is None or message["number"] > peer.number + 1:
            self._ask(name, peer)
        elif message["number"] == peer.number + 1:
            peer.number += 1
            self._apply(peer, kind, message)

    async def run(self) -> None:
        """Show that this process is alive, and find out which others no longer are, until cancelled.

        While this process stood still, as its machine may have, it heard nobody, and that means nothing.
        """
        while True:
            began = _now()
            await asyncio.sleep(HEARTBEAT.total_seconds())
            if _now() - began > 2 * HEARTBEAT.total_seconds():
                self._begin_silence_anew()
            self._tell("alive", by=self._name, number=self._number)
            if self._linked:
                silent_since = _now() - SILENCE.total_seconds()
                for name in [name for name, peer in self._peers.items() if peer.heard_at < silent_since]:
                    self._drop(name)

    def stop(self) -> None:
        """Tell the others that this process is going."""
        if self._number:
            self._tell("stopped", by=self._name)

    def _all(self) -> Iterator[People]:
        yield self._here
        for peer in self._peers.values():
            yield peer.people

    def _is_in(self, room: str, user_id: int) -> bool:
        return any(user_id in people.get(room, {}) for people in self._all())

    def _begin_silence_anew(self) -> None:
        for peer in self._peers.values():
            peer.heard_at = _now()

    def _ask(self, name: str, peer: _Peer) -> None:
        if not peer.was_asked:
            peer.was_asked = True
            self._tell("who", of=name)

    def _tell_the_whole(self) -> None:
        rooms = {room: [_written(person) for person in people.values()] for room, people in self._here.items()}
        self._tell("whole", by=self._name, number=self._number, rooms=rooms)

    def _apply(self, peer: _Peer, kind: str, message: Mapping[str, Any]) -> None:
        room = message["room"]
        if kind == "entered":
            self._add(peer, room, _read(message["person"]))
        else:
            self._remove(peer, room, message["user_id"])

    def _replace(self, peer: _Peer, message: Mapping[str, Any]) -> None:
        told = {room: {person.id: person for person in map(_read, rows)} for room, rows in message["rooms"].items()}
        peer.number = message["number"]
        for room, user_id in [(room, user_id) for room, people in peer.people.items() for user_id in people]:
            if user_id not in told.get(room, {}):
                self._remove(peer, room, user_id)
        for room, people in told.items():
            for person in people.values():
                self._add(peer, room, person)

    def _add(self, peer: _Peer, room: str, person: Person) -> None:
        new = not self._is_in(room, person.id)
        peer.people.setdefault(room, {})[person.id] = person
        if new:
            self.joined(room, person)

    def _remove(self, peer: _Peer, room: str, user_id: int) -> None:
        person = _removed(peer.people, room, user_id)
        if not self._is_in(room, user_id):
            self.left(room, person)

    def _drop(self, name: str) -> None:
        peer = self._peers.get(name)
        if peer is not None:
            for room, user_id in [(room, user_id) for room, people in peer.people.items() for user_id in people]:
                self._remove(peer, room, user_id)
            del self._peers[name]


def _removed(people: People, room: str, user_id: int) -> Person:
    person = people[room].pop(user_id)
    if not people[room]:
        del people[room]
    return person


def _now() -> float:
    return asyncio.get_running_loop().time()


def _written(person: Person) -> list[Any]:
    return [person.id, person.full_name]


def _read(written: list[Any]) -> Person:
    return Person(*written)
