"""The messages of `/ws/protected`: what a client may send, and what it gets."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from application.changes import CHANNELS
from entrypoints.http.fields import RequestModel, Text
from entrypoints.http.files import FileResponse
from entrypoints.http.items import ItemResponse
from entrypoints.http.tasks import TaskResponse

_CHANNELS = ", ".join(f"`{name}`" for name in CHANNELS)

Room = Annotated[
    Text, Field(examples=["room:kitchen"], description="`room:` and a name of 1 to 100 characters, in one line.")
]
EventId = Annotated[str, Field(examples=["0000000000000000042"])]


class Subscribe(RequestModel):
    """Hear what is new in a channel. With `after`, the id of an event, first all that was missed since that one."""

    action: Literal["subscribe"]
    channel: Annotated[Text, Field(examples=["items"], description=f"{_CHANNELS}, or `room:` and a name.")]
    after: Annotated[Text | None, Field(max_length=100, examples=["0000000000000000042"])] = None


class Unsubscribe(RequestModel):
    """Hear nothing more of a channel."""

    action: Literal["unsubscribe"]
    channel: Annotated[Text, Field(examples=["items"])]


class Publish(RequestModel):
    """Say something to all in a room that one is subscribed to."""

    action: Literal["publish"]
    channel: Room
    data: Annotated[Any, Field(description="Any JSON.", examples=[{"text": "Hello"}])]


class AskPresence(RequestModel):
    """Ask who is in a room."""

    action: Literal["presence"]
    channel: Room


Action = Annotated[Subscribe | Unsubscribe | Publish | AskPresence, Field(discriminator="action")]


class Someone(BaseModel):
    id: int
    full_name: Annotated[str | None, Field(examples=["Ada Lovelace"])]


class Account(Someone):
    email: Annotated[str, Field(examples=["ada@example.org"])]


class Authenticated(BaseModel):
    """The first message, once the token was believed."""

    event: Literal["authenticated"]
    message: Literal["Authenticated"]
    user: Account


class Subscribed(BaseModel):
    """What comes from now on is what is new in this channel, or was missed."""

    event: Literal["subscribed"]
    channel: Annotated[str, Field(examples=["items"])]


class Unsubscribed(BaseModel):
    event: Literal["unsubscribed"]
    channel: Annotated[str, Field(examples=["items"])]


class Reset(BaseModel):
    """The event to resume after is unknown or no longer kept: fetch anew what you show. New events follow."""

    event: Literal["reset"]
    channel: Annotated[str, Field(examples=["items"])]


class Error(BaseModel):
    """The message before this one changed nothing. The connection stays."""

    event: Literal["error"]
    code: Annotated[str, Field(examples=["unknown_action"])]
    message: Annotated[str, Field(examples=["There is no such action"])]


class Message(BaseModel):
    """Somebody in the room, perhaps oneself, said something. It is not kept."""

    event: Literal["message"]
    channel: Room
    id: str
    sender: Annotated[Someone, Field(alias="from")]
    data: Annotated[Any, Field(description="Any JSON.", examples=[{"text": "Hello"}])]


class Presence(BaseModel):
    """Who is in the room: people, each once, however many connections they have."""

    event: Literal["presence"]
    channel: Room
    users: list[Someone]


class Joined(BaseModel):
    """Somebody came to the room."""

    event: Literal["presence.joined"]
    channel: Room
    user: Someone


class Left(BaseModel):
    """Somebody left the room, with the last of their connections."""

    event: Literal["presence.left"]
    channel: Room
    user: Someone


class Gone(BaseModel):
    id: int


class ItemChanged(BaseModel):
    """An item of one's own was added or changed: as it is since then."""

    event: Literal["item.created", "item.updated"]
    channel: Literal["items"]
    id: EventId
    data: ItemResponse


class ItemDeleted(BaseModel):
    """An item of one's own was deleted."""

    event: Literal["item.deleted"]
    channel: Literal["items"]
    id: EventId
    data: Gone


class FileCreated(BaseModel):
    """A file of one's own was added."""

    event: Literal["file.created"]
    channel: Literal["files"]
    id: EventId
    data: FileResponse


class FileDeleted(BaseModel):
    """A file of one's own was deleted."""

    event: Literal["file.deleted"]
    channel: Literal["files"]
    id: EventId
    data: Gone


class TaskUpdated(BaseModel):
    """A task of one's own began, went on or ended: as it is since then."""

    event: Literal["task.updated"]
    channel: Literal["tasks"]
    id: EventId
    data: TaskResponse


SENT: tuple[type[BaseModel], ...] = (Subscribe, Unsubscribe, Publish, AskPresence)
"""By clients."""
RECEIVED: tuple[type[BaseModel], ...] = (
    Authenticated,
    Subscribed,
    Unsubscribed,
    Reset,
    Error,
    Message,
    Presence,
    Joined,
    Left,
    ItemChanged,
    ItemDeleted,
    FileCreated,
    FileDeleted,
    TaskUpdated,
)
"""By clients."""
