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
class Follower:
    """Keeps a copy of the items by the changes that it is told of. `wrong` lists what can't be."""

    address: str
    """Of the deployment: `http://…`."""
    token: Callable[[], str]
    fetch: Callable[[], Awaitable[list[dict[str, Any]]]]
    """The items there are: needed as long as no event is known that a subscription could begin after."""
    items: dict[int, dict[str, Any]] = field(default_factory=dict)
    fetched: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Those of the items that no event told of yet."""
    catches_up: bool = False
    """Whether what is told may have happened before the items were fetched, since nothing later was told yet."""
    last: str = ""
    connections: int = 0
    listens: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether it has been told what it is subscribed to: from then on it misses nothing."""
    wrong: list[str] = field(default_factory=list)

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
            after = {"after": self.last} if self.last else {}
            await socket.send(json.dumps({"action": "subscribe", "channel": "items", **after}))
            async for text in socket:
                await self._told(json.loads(text))

    async def _told(self, message: dict[str, Any]) -> None:
        if message["event"] == "authenticated":
            return
        if message["event"] == "subscribed":
            if not self.last:
                self.fetched = {item["id"]: item for item in await self.fetch()}
                self.items = dict(self.fetched)
                self.catches_up = True
            self.listens.set()
            return
        if message["event"] == "error" and message["code"] == "unavailable":
            raise ConnectionError("the subscription could not be made now")
        if not message["event"].startswith("item."):
            self.wrong.append(f"was told {message}")
            return
        if message["id"] <= self.last:
            self.wrong.append(f"was told {message['id']} after {self.last}")
        self.last = message["id"]
        item, event = message["data"], message["event"]
        if self._happened_before_the_fetch(item, event):
            return
        known = self.items.get(item["id"])
        if (known is None) != (event == "item.created"):
            self.wrong.append(f"was told {event} of {item}, but knew {known}")
        if event == "item.deleted":
            self.items.pop(item["id"], None)
            return
        if known is not None and item["version"] != known["version"] + 1:
            self.wrong.append(f"was told {item} after {known}")
        self.items[item["id"]] = item

    def _happened_before_the_fetch(self, item: dict[str, Any], event: str) -> bool:
        """Whether it happened between the subscription and the answer with the items, which shows it or more."""
        if item["id"] not in self.items:
            return self.catches_up and event != "item.created"  # it was gone by then
        fetched = self.fetched.get(item["id"])
        if fetched is None:
            return False
        if event != "item.deleted" and item["version"] < fetched["version"]:
            return True
        del self.fetched[item["id"]]
        if item == fetched:
            return True
        self.catches_up = False
        return False
