"""Somebody who follows the changes of what is theirs, whatever happens to the connection."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

PAUSE: Final = 0.3
"""Seconds before the next try to connect."""
SILENCE: Final = 5.0
"""Seconds without a sign of life after which the connection counts as dead."""


@dataclass
class Copy:
    """The things of one channel, by the changes that were told of. `wrong` lists what can't be."""

    channel: str
    things: dict[Any, dict[str, Any]] = field(default_factory=dict)
    fetched: dict[Any, dict[str, Any]] = field(default_factory=dict)
    """Those of them that no event told of yet."""
    catches_up: bool = False
    """Whether what is told may have happened before the things were fetched, since nothing later was told yet."""
    last: str = ""
    wrong: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Of the list of them."""
        return f"/{self.channel}/"

    def start(self, things: list[dict[str, Any]]) -> None:
        """With these, as no event is known that a subscription could begin after."""
        self.fetched = {self.key_of(thing): thing for thing in things}
        self.things = dict(self.fetched)
        self.catches_up = True

    def key_of(self, thing: dict[str, Any]) -> Any:
        return thing["id"]

    def told(self, message: dict[str, Any]) -> None:
        if message["id"] <= self.last:
            self.wrong.append(f"was told {message['id']} after {self.last}")
        self.last = message["id"]
        self._changed(message["event"], message["data"])

    def _changed(self, event: str, thing: dict[str, Any]) -> None:
        what = event.partition(".")[2]
        if self._happened_before_the_fetch(thing, what):
            return
        known = self.things.get(thing["id"])
        if (known is None) != (what == "created"):
            self.wrong.append(f"was told {event} of {thing}, but knew {known}")
        if what == "deleted":
            self.things.pop(thing["id"], None)
            return
        if known is not None and thing["version"] != known["version"] + 1:
            self.wrong.append(f"was told {thing} after {known}")
        self.things[thing["id"]] = thing

    def _happened_before_the_fetch(self, thing: dict[str, Any], what: str) -> bool:
        """Whether it happened between the subscription and the answer with the things, which shows it or more."""
        if thing["id"] not in self.things:
            return self.catches_up and what != "created"  # it was gone by then
        fetched = self.fetched.get(thing["id"])
        if fetched is None:
            return False
        if what != "deleted" and thing.get("version", 1) < fetched.get("version", 1):
            return True
        del self.fetched[thing["id"]]
        if thing == fetched:
            return True
        self.catches_up = False
        return False


class CopyOfTasks(Copy):
    """Tasks have no version: they only go forward, and nothing follows their end."""

    def key_of(self, thing: dict[str, Any]) -> Any:
        return thing["task_id"]

    def _changed(self, event: str, thing: dict[str, Any]) -> None:
        known = self.things.get(thing["task_id"])
        if known is not None and (known["finished_at"] or self._standing(thing) < self._standing(known)):
            if thing["task_id"] not in self.fetched:
                self.wrong.append(f"was told {thing} after {known}")
            return
        self.fetched.pop(thing["task_id"], None)
        self.things[thing["task_id"]] = thing

    def _standing(self, task: dict[str, Any]) -> tuple[int, int]:
        return task["attempts"], task["progress"]


@dataclass
class Follower:
    """Keeps a copy of the items, files and tasks by the changes that it is told of."""

    address: str
    """Of the deployment: `http://…`."""
    token: Callable[[], str]
    fetch: Callable[[str], Awaitable[list[dict[str, Any]]]]
    """The things of the list with this path."""
    copies: dict[str, Copy] = field(
        default_factory=lambda: {"items": Copy("items"), "files": Copy("files"), "tasks": CopyOfTasks("tasks")}
    )
    connections: int = 0
    listens: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether it has been told that it is subscribed to all: from then on it misses nothing."""
    strange: list[str] = field(default_factory=list)
    """What nobody should have told it."""

    @property
    def wrong(self) -> list[str]:
        return [*self.strange, *(one for copy in self.copies.values() for one in copy.wrong)]

    async def follow(self) -> None:
        """Connect, and again whenever the connection is lost, until cancelled."""
        while True:
            with suppress(OSError, TimeoutError, WebSocketException):
                await self._follow_once()
            await asyncio.sleep(PAUSE)

    async def _follow_once(self) -> None:
        async with connect(
            f"{self.address.replace('http', 'ws', 1)}/ws/protected",
            additional_headers={"Authorization": f"Bearer {self.token()}"},
            open_timeout=SILENCE,
            ping_interval=SILENCE,
            ping_timeout=SILENCE,
            close_timeout=1,
            proxy=None,
        ) as socket:
            self.connections += 1
            for copy in self.copies.values():
                after = {"after": copy.last} if copy.last else {}
                await socket.send(json.dumps({"action": "subscribe", "channel": copy.channel, **after}))
            pending = set(self.copies)
            async for text in socket:
                message = json.loads(text)
                await self._told(message)
                if message["event"] == "subscribed":
                    pending.discard(message["channel"])
                if not pending:
                    self.listens.set()

    async def _told(self, message: dict[str, Any]) -> None:
        event, copy = message["event"], self.copies.get(message.get("channel", ""))
        if event == "authenticated":
            return
        if event == "error" and message["code"] == "unavailable":
            raise ConnectionError("the subscription could not be made now")
        if copy is None or event.partition(".")[0] not in ("subscribed", copy.channel.removesuffix("s")):
            self.strange.append(f"was told {message}")
        elif event != "subscribed":
            copy.told(message)
        elif not copy.last:
            copy.start(await self.fetch(copy.path))
