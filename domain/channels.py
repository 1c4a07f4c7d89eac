"""Channels: what one hears of. Some carry the changes of what is one's own, the others are rooms, open to everybody."""

from typing import Final

from domain.errors import Conflict, Forbidden
from domain.lines import is_one_line

ROOM: Final = "room:"
LONGEST_ROOM: Final = 100
"""Characters of a room's name, which is not blank and stands in one line."""


class ChannelNotAllowed(Forbidden):
    code = "channel_not_allowed"
    message = "There is no such channel, or it can't be used for this"


class NotSubscribed(Conflict):
    code = "not_subscribed"
    message = "Subscribe to the room first"


class TooManyChannels(Conflict):
    code = "too_many_channels"
    message = "This connection can't subscribe to more channels"


def room_of(channel: str) -> str:
    """The channel, if it is that of a room. Raises `ChannelNotAllowed`."""
    name = channel.removeprefix(ROOM)
    if name == channel or not name.strip() or len(name) > LONGEST_ROOM or not is_one_line(name):
        raise ChannelNotAllowed
    return channel
