"""Telling everybody what changed of what is theirs: once, in the order of the commits, whoever committed it.

The log of changes says what is to be told. News of a commit only wakes: it may be late, doubled or lost, and what it
announced is read from the log all the same, at the next look. Each process looks for all its users together.
"""

import asyncio
import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Final

from application.changes import KEPT
from application.outages import Outage
from application.ports.persistence import Reads
from application.ports.realtime import Change, Words
from application.send_queue import SendQueue

POLL: Final = timedelta(seconds=2)
"""How often to look when no news comes."""
PAGE: Final = 50
"""Changes that are read at once: few enough for everybody's send queue, and for the memory when many of those who catch
up don't read. A change may take tens of kilobytes."""
USERS_AT_ONCE: Final = 100
OUTAGE_PAUSE: Final = timedelta(seconds=1)

log = logging.getLogger(__name__)


class Follower:
    """One subscription: whatever it was given so far, it stands at one place in the log, and takes what lies beyond."""

    __slots__ = ("catching_up", "channel", "position", "send_queue", "user_id")

    catching_up: asyncio.Task[None]
    """`Feed.follow` begins it."""

    def __init__(self, user_id: int, channel: str, position: int, send_queue: SendQueue) -> None:
        self.user_id = user_id
        self.channel = channel
        self.position = position
        self.send_queue = send_queue


class _Followed:
    """A user somebody follows here. What lies up to `head` was given to all of these followers."""

    __slots__ = ("followers", "head")

    def __init__(self, head: int) -> None:
        self.head = head
        self.followers: set[Follower] = set()


class Feed:
    def __init__(self, reads: Reads, words: Words) -> None:
        self._reads = reads
        self._words = words
        self._users: dict[int, _Followed] = {}
        self._woken: set[int] = set()
        self._news = asyncio.Event()
        self._outage = Outage(log, "changes can't be read")

    def wake(self, user_ids: Collection[int]) -> None:
        """There may be something new of these users."""
        followed = self._users.keys() & user_ids
        if followed:
            self._woken |= followed
            self._news.set()

    def wake_all(self) -> None:
        """News may have been missed."""
        self.wake(self._users.keys())

    async def start(self, user_id: int, channel: str, after: str | None) -> tuple[int, bool]:
        """Where a subscription begins: after that change, else at the end of what there is now; whether it knows the
        change. Raises `Unavailable`."""
        if after is None:
            return await self._reads.last_change(user_id), True
        change_id = _id_in(after)
        if change_id is not None and await self._reads.has_change(user_id, channel, change_id, within=KEPT):
            return change_id, True
        return await self._reads.last_change(user_id), False

    def follow(self, follower: Follower) -> None:
        """Give it all that lies beyond its position, and then what is new."""
        follower.catching_up = asyncio.create_task(self._catch_up(follower), name="feed catch-up")

    def leave(self, follower: Follower) -> None:
        """Give it nothing more. It was given to `follow` before."""
        follower.catching_up.cancel()
        followed = self._users.get(follower.user_id)
        if followed is not None:
            followed.followers.discard(follower)
            if not followed.followers:
                del self._users[follower.user_id]

    async def _catch_up(self, follower: Follower) -> None:
        """Read page after page at the follower's own pace, until it is where the others are; then join them.

        Nothing happens between the last look at the head and joining, so there is no seam: what the head has passed
        was committed before the page was read, so it is in the page; what it hasn't, it will bring, and the follower
        takes it if it lies beyond its own position.
        """
        while True:
            followed = self._users.get(follower.user_id)
            head = followed.head if followed is not None else 0
            try:
                given = await self._give_page(follower)
            except Exception as error:  # whatever it is, the follower must not be forgotten
                self._outage.goes_on(error)
                await asyncio.sleep(OUTAGE_PAUSE.total_seconds())
                continue
            if given < PAGE:
                follower.position = max(follower.position, head)
                if self._joins(follower):
                    return
            await follower.send_queue.emptied()

    async def _give_page(self, follower: Follower) -> int:
        """Give it the next page of what lies beyond its position; how much that was."""
        page = await self._reads.changes_in(follower.user_id, follower.channel, after=follower.position, limit=PAGE)
        self._outage.is_over()
        for change in page:
            self._give(follower, change, self._words.change(change))
        return len(page)

    def _joins(self, follower: Follower) -> bool:
        """Take it among those of its user, unless the head has moved on meanwhile."""
        followed = self._users.get(follower.user_id)
        if followed is None:
            followed = self._users[follower.user_id] = _Followed(follower.position)
        elif followed.head > follower.position:
            return False
        followed.followers.add(follower)
        self.wake([follower.user_id])  # its head may be behind the log, and news of that came before it was here
        return True

    async def run(self) -> None:
        """Look into the log at every piece of news, and now and then without any, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL.total_seconds()):
                    await self._news.wait()
            except TimeoutError:
                self.wake_all()
            self._news.clear()
            users, self._woken = list(self._woken), set()
            try:
                for first in range(0, len(users), USERS_AT_ONCE):
                    await self._look_for(users[first : first + USERS_AT_ONCE])
            except Exception as error:  # whatever it is, the others must be told
                self._outage.goes_on(error)
                await asyncio.sleep(OUTAGE_PAUSE.total_seconds())
                self.wake_all()

    async def _look_for(self, users: Collection[int]) -> None:
        """Read and give all that is new of these users."""
        full = True
        while full:
            positions = {user_id: self._users[user_id].head for user_id in users if user_id in self._users}
            if not positions:
                return
            page = await self._reads.changes_after(positions, limit=PAGE)
            self._outage.is_over()
            for change in page:
                self._pass_on(change)
            full = len(page) >= PAGE

    def _pass_on(self, change: Change) -> None:
        followed = self._users.get(change.user_id)
        if followed is None or change.id <= followed.head:
            return
        followed.head = change.id
        concerned = [follower for follower in followed.followers if follower.channel == change.channel]
        if concerned:
            text = self._words.change(change)
            for follower in concerned:
                self._give(follower, change, text)

    def _give(self, follower: Follower, change: Change, text: str) -> None:
        if change.id > follower.position:
            follower.position = change.id
            follower.send_queue.put(text)


def _id_in(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) < 2**63 else None
