"""What is said over a WebSocket: text in the lobby, JSON elsewhere. `entrypoints.http.asyncapi` describes it."""

import json
from collections.abc import Collection
from typing import Any, Final

from application.ports.realtime import Change, Person
from domain.users import User

ID_DIGITS: Final = 19
"""An event's id has so many, with zeros before: ids compare as texts, too."""


def to_json(value: Any) -> str:
    """The value in JSON, with letters as they are unless one is half of a surrogate pair.

    Raises `ValueError` for a number that JSON has no name for.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text


def _seen(person: Person) -> dict[str, Any]:
    return {"id": person.id, "full_name": person.full_name}


class ClientWords:
    """Implements `Words`."""

    def authenticated(self, user: User) -> str:
        who = {"id": user.id, "email": user.email, "full_name": user.full_name}
        return to_json({"event": "authenticated", "message": "Authenticated", "user": who})

    def subscribed(self, channel: str) -> str:
        return to_json({"event": "subscribed", "channel": channel})

    def unsubscribed(self, channel: str) -> str:
        return to_json({"event": "unsubscribed", "channel": channel})

    def reset(self, channel: str) -> str:
        return to_json({"event": "reset", "channel": channel})

    def change(self, change: Change) -> str:
        event_id = f"{change.id:0{ID_DIGITS}}"
        return f'{{"event":"{change.event}","channel":"{change.channel}","id":"{event_id}","data":{change.data}}}'

    def message(self, room: str, message_id: str, sender: Person, data: str) -> str:
        head = to_json({"event": "message", "channel": room, "id": message_id, "from": _seen(sender)})
        return f'{head[:-1]},"data":{data}}}'

    def presence(self, room: str, people: Collection[Person]) -> str:
        return to_json({"event": "presence", "channel": room, "users": [_seen(person) for person in people]})

    def joined(self, room: str, person: Person) -> str:
        return to_json({"event": "presence.joined", "channel": room, "user": _seen(person)})

    def left(self, room: str, person: Person) -> str:
        return to_json({"event": "presence.left", "channel": room, "user": _seen(person)})

    def said_in_lobby(self, client_id: int, text: str) -> str:
        return f"Client {client_id}: {text}"

    def left_lobby(self, client_id: int) -> str:
        return f"Client {client_id} left"


def error(code: str, message: str) -> str:
    """What is answered to a message that nothing can be done with."""
    return to_json({"event": "error", "code": code, "message": message})
