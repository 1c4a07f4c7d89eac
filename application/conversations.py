"""What one connection may ask for, and what it hears because of that."""

from typing import Final

from application.changes import CHANNELS
from application.feed import Follower
from application.ports.realtime import Person, Words
from application.realtime import Connection, Realtime
from domain.channels import NotSubscribed, TooManyChannels, room_of

MOST_CHANNELS: Final = 100
"""That a connection is subscribed to at once."""


class Conversation:
    """One connection's subscriptions. What is answered goes through its send queue, in order with everything else."""

    def __init__(self, connection: Connection, realtime: Realtime, words: Words) -> None:
        self._connection = connection
        self._send_queue = connection.send_queue
        self._realtime = realtime
        self._words = words
        user = connection.actor.user
        self._person = Person(user.id, user.full_name)
        self._followed: dict[str, Follower] = {}
        self._rooms: set[str] = set()

    async def subscribe(self, channel: str, after: str | None) -> None:
        """Hear what is new there; with `after`, first what was missed since that event.

        Subscribing again changes nothing, but begins again if it says after what.
        Raises `ChannelNotAllowed`, `TooManyChannels` or `Unavailable`.
        """
        new = channel not in self._followed and channel not in self._rooms
        if channel in CHANNELS:
            if new:
                self._must_have_place()
            await self._follow(channel, after, new=new)
            return
        room = room_of(channel)
        if new:
            self._must_have_place()
            await self._realtime.settled()
        self._send_queue.put(self._words.subscribed(room))
        if after is not None:
            self._send_queue.put(self._words.reset(room))
        if new:
            self._rooms.add(room)
            self._realtime.rooms.enter(room, self._person, self._send_queue)

    async def _follow(self, channel: str, after: str | None, *, new: bool) -> None:
        if not new and after is None:
            self._send_queue.put(self._words.subscribed(channel))
            return
        feed = self._realtime.feed
        user_id = self._connection.actor.user.id
        position, known = await feed.start(user_id, channel, after)
        if not new:
            feed.leave(self._followed.pop(channel))
        self._send_queue.put(self._words.subscribed(channel))
        if not known:
            self._send_queue.put(self._words.reset(channel))
        follower = self._followed[channel] = Follower(user_id, channel, position, self._send_queue)
        feed.follow(follower)

    def unsubscribe(self, channel: str) -> None:
        """Hear nothing more of it. Raises `ChannelNotAllowed`."""
        if channel not in CHANNELS:
            room_of(channel)
        self._leave(channel)
        self._send_queue.put(self._words.unsubscribed(channel))

    def publish(self, channel: str, data: str) -> None:
        """Say something, in JSON, to all in a room. Raises `ChannelNotAllowed` or `NotSubscribed`."""
        room = room_of(channel)
        if room not in self._rooms:
            raise NotSubscribed
        self._realtime.rooms.say(room, self._person, data)

    async def ask_who_is_in(self, channel: str) -> None:
        """Raises `ChannelNotAllowed`."""
        room = room_of(channel)
        await self._realtime.settled()
        self._send_queue.put(self._words.presence(room, self._realtime.rooms.people(room)))

    def end(self) -> None:
        """Leave every channel."""
        for channel in [*self._followed, *self._rooms]:
            self._leave(channel)

    def _leave(self, channel: str) -> None:
        if channel in self._followed:
            self._realtime.feed.leave(self._followed.pop(channel))
        elif channel in self._rooms:
            self._rooms.remove(channel)
            self._realtime.rooms.leave(channel, self._person, self._send_queue)

    def _must_have_place(self) -> None:
        if len(self._followed) + len(self._rooms) >= MOST_CHANNELS:
            raise TooManyChannels
