"""The lobby and the rooms: what one says there, all in it hear, in whichever process they are."""

from collections.abc import Callable, Collection
from uuid import uuid4

from application.ports.realtime import Person, Words
from application.presence import Presence
from application.send_queue import SendQueue

Tell = Callable[..., None]
"""Publishes a message of this kind, with these values, to the other processes."""


class Rooms:
    """The rooms as this process sees them: its own connections by person, and who is there elsewhere."""

    def __init__(self, presence: Presence, words: Words, tell: Tell) -> None:
        self._members: dict[str, dict[int, set[SendQueue]]] = {}
        self._presence = presence
        self._words = words
        self._tell = tell
        presence.joined = self._joined
        presence.left = self._left

    def enter(self, room: str, person: Person, send_queue: SendQueue) -> None:
        """Let this connection hear what is said in the room. The first one of a person makes that person present."""
        members = self._members.setdefault(room, {})
        if person.id not in members:
            members[person.id] = set()
            self._presence.enter(room, person)
        members[person.id].add(send_queue)

    def leave(self, room: str, person: Person, send_queue: SendQueue) -> None:
        members = self._members[room]
        members[person.id].remove(send_queue)
        if not members[person.id]:
            del members[person.id]
            if not members:
                del self._members[room]
            self._presence.leave(room, person.id)

    def people(self, room: str) -> Collection[Person]:
        """Who is in the room, in whichever process, by their ids."""
        return self._presence.people(room)

    def say(self, room: str, sender: Person, data: str) -> None:
        """Let all in the room hear it. `data` is JSON."""
        text = self._words.message(room, uuid4().hex, sender, data)
        self.hear(room, text)
        self._tell("said", room=room, text=text)

    def hear(self, room: str, text: str) -> None:
        """Give the message to all connections in the room here."""
        for send_queues in self._members.get(room, {}).values():
            for send_queue in send_queues:
                send_queue.put(text)

    def _joined(self, room: str, person: Person) -> None:
        """Tell the others: none of this person's own connections hears anything in the room yet."""
        self.hear(room, self._words.joined(room, person))

    def _left(self, room: str, person: Person) -> None:
        """Tell the others: none of this person's own connections hears anything in the room any more."""
        self.hear(room, self._words.left(room, person))


class Lobby:
    """One room for all, in plain text, known by nothing but a number that each chooses."""

    def __init__(self, words: Words, tell: Tell) -> None:
        self._send_queues: set[SendQueue] = set()
        self._words = words
        self._tell = tell

    def enter(self, send_queue: SendQueue) -> None:
        self._send_queues.add(send_queue)

    def say(self, client_id: int, text: str) -> None:
        self._tell_all(self._words.said_in_lobby(client_id, text))

    def leave(self, client_id: int, send_queue: SendQueue) -> None:
        """Tell the others that this one left."""
        self._send_queues.remove(send_queue)
        self._tell_all(self._words.left_lobby(client_id))

    def hear(self, text: str) -> None:
        for send_queue in self._send_queues:
            send_queue.put(text)

    def _tell_all(self, text: str) -> None:
        self.hear(text)
        self._tell("said_in_lobby", text=text)
