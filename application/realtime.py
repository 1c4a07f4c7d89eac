"""What one process does for all its WebSockets together."""

import asyncio
import json
import logging
from collections.abc import Collection, Coroutine
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from application.feed import Feed
from application.outages import Outage
from application.ports.clock import Clock
from application.ports.persistence import Reads
from application.ports.realtime import Broadcaster, Words
from application.ports.security import AccessTokens
from application.presence import Presence
from application.rooms import Lobby, Rooms
from application.send_queue import Ending, SendQueue
from application.sessions import Authenticate
from domain.users import Actor

LOOK_EVERY: Final = timedelta(seconds=2)
"""How often to look whether those who are connected still may be: less than half of the 5 s that are promised."""
SESSIONS_AT_ONCE: Final = 1000
GATHER_SECONDS: Final = 0.005
"""How long news of commits is gathered before the other processes are told: a busy one tells of many at once."""
SETTLE_SECONDS: Final = 0.25
"""How long the other processes have to say who is there, before somebody is told."""
LINK_SECONDS: Final = 1.0
PRESENCE: Final = frozenset({"who", "whole", "entered", "went", "alive", "stopped"})

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Connection:
    """Somebody at the other end of a WebSocket."""

    actor: Actor
    ends_at: float
    """When the token ends, in seconds since the epoch."""
    send_queue: SendQueue = field(default_factory=SendQueue)


@dataclass(frozen=True)
class OpenConnection:
    """Believe an access token for as long as it lasts. Raises `InvalidAccessToken` or `InactiveUser`."""

    authenticate: Authenticate
    tokens: AccessTokens

    async def __call__(self, token: str) -> Connection:
        actor = await self.authenticate(token)
        return Connection(actor, self.tokens.verify(token).expires_at)


class Realtime:
    """Implements `Listener`: hears the other processes and passes on what concerns the connections of this one.

    `name` tells the processes apart. Nothing runs until the first connection is added.
    """

    def __init__(self, name: str, reads: Reads, broadcaster: Broadcaster, words: Words, clock: Clock) -> None:
        self._reads = reads
        self._broadcaster = broadcaster
        self._clock = clock
        self._connections: set[Connection] = set()
        self._running: list[asyncio.Task[None]] = []
        self._link = asyncio.Event()
        self._changed: set[int] = set()
        self._settled = asyncio.Event()
        self.feed = Feed(reads, words)
        self._presence = Presence(name, self._tell)
        self.rooms = Rooms(self._presence, words, self._tell)
        self.lobby = Lobby(words, self._tell)

    def changed(self, user_ids: Collection[int]) -> None:
        """Something of these users was committed."""
        self.feed.wake(user_ids)
        if not self._changed:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell_changed)
        self._changed.update(user_ids)

    def add(self, connection: Connection) -> None:
        self._connections.add(connection)
        if not self._running:
            for running in (
                self.feed.run,
                self._presence.run,
                self._end_expired,
                self._end_revoked,
                self._listen,
                self._settle,
            ):
                # They outlast the connection that comes first: what they do and say is no part of its request.
                task = asyncio.create_task(running(), name=f"realtime {running.__name__}", context=Context())
                self._running.append(task)

    def remove(self, connection: Connection) -> None:
        self._connections.discard(connection)

    async def settled(self) -> None:
        """Return once the other processes had the time to say who is there, or this one stops."""
        await self._settled.wait()

    async def close(self) -> None:
        """Tell the others that this process is going, and stop."""
        if self._running:
            self._presence.stop()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()
        self._settled.set()
        self._tell_changed()
        await self._broadcaster.close()

    def heard(self, message: str) -> None:
        try:
            told = json.loads(message)
            self._heard(told.pop("kind"), told)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            log.warning("another process says what can't be understood: %s", type(error).__name__)

    def linked(self) -> None:
        self._link.set()
        self.feed.wake_all()
        self._presence.linked()

    def cut_off(self) -> None:
        self._presence.cut_off()

    def _heard(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "changed":
            self.feed.wake(message["users"])
        elif kind == "said":
            self.rooms.hear(message["room"], message["text"])
        elif kind == "said_in_lobby":
            self.lobby.hear(message["text"])
        elif kind in PRESENCE:
            self._presence.heard(kind, message)

    def _tell_changed(self) -> None:
        if self._changed:
            self._tell("changed", users=list(self._changed))
            self._changed.clear()

    def _tell(self, kind: str, **values: Any) -> None:
        self._broadcaster.publish(json.dumps({"kind": kind, **values}))

    def _listen(self) -> Coroutine[Any, Any, None]:
        return self._broadcaster.listen(self)

    async def _settle(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINK_SECONDS):
                await self._link.wait()
                await asyncio.sleep(SETTLE_SECONDS)
        self._settled.set()

    async def _end_expired(self) -> None:
        """End the connections whose token has come to its end, whatever becomes of the database."""
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            now = self._clock.now().timestamp()
            for connection in self._connections:
                if connection.ends_at <= now:
                    connection.send_queue.end(Ending.NOT_ALLOWED)

    async def _end_revoked(self) -> None:
        """End the connections whose session is over, or whose user may no longer be here."""
        outage = Outage(log, "sessions can't be looked at")
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            try:
                await self._look_at_sessions()
                outage.is_over()
            except Exception as error:  # whatever it is, those who come later must be looked at
                outage.goes_on(error)

    async def _look_at_sessions(self) -> None:
        asked = list({connection.actor.session_id for connection in self._connections})
        live: set[str] = set()
        for first in range(0, len(asked), SESSIONS_AT_ONCE):
            live |= set(await self._reads.live_sessions(asked[first : first + SESSIONS_AT_ONCE]))
        over = set(asked) - live
        for connection in self._connections:
            if connection.actor.session_id in over:
                connection.send_queue.end(Ending.NOT_ALLOWED)
