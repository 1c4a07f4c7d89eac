"""Processes of one service in one event loop, in virtual time, with people connected to them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from adapters.realtime.memory import MemoryBroadcaster
from application.conversations import Conversation
from application.realtime import Connection, Realtime
from domain.events import Event, ItemDeleted
from domain.sessions import Session
from domain.users import Actor, User
from entrypoints.http.realtime_words import ClientWords
from tests.builders import World


async def an_account(world: World, address: str = "ada@example.org", *, full_name: str | None = None) -> User:
    """Somebody with a session that lasts."""
    user = await world.has(address, full_name=full_name)
    now = world.clock.now()
    times = {"created_at": now, "last_used_at": now, "expires_at": now + timedelta(days=365)}
    async with world.store.begin() as work:
        await work.sessions.add(Session(id=str(user.id), user_id=user.id, user_agent=None, ip=None, **times))
    return user


@dataclass(eq=False)
class Line:
    """One connection, and what it was told."""

    process: "ProcessInMemory"
    connection: Connection
    conversation: Conversation
    told: list[Any] = field(default_factory=list)

    async def hears(self, count: int = 1) -> list[Any]:
        """The next messages."""
        async with asyncio.timeout(60):
            while len(self.told) < count:
                text = await self.connection.send_queue.take()
                assert text is not None
                self.told.append(json.loads(text))
        heard, self.told = self.told[:count], self.told[count:]
        return heard

    async def waiting(self) -> list[Any]:
        """What is there to be heard once everything has come to rest."""
        await asyncio.sleep(3)
        return await self.hears(len(self.connection.send_queue)) if len(self.connection.send_queue) else []

    def hang_up(self) -> None:
        self.conversation.end()
        self.process.realtime.remove(self.connection)


@dataclass(eq=False)
class ProcessInMemory:
    """What one server process does for its WebSockets."""

    world: World
    realtime: Realtime
    words: ClientWords = field(default_factory=ClientWords)

    def connect(self, user: User, *, session_id: str | None = None, ends_in: float = 1800) -> Line:
        ends_at = self.world.clock.now().timestamp() + ends_in
        connection = Connection(Actor(user, session_id or str(user.id)), ends_at)
        self.realtime.add(connection)
        return Line(self, connection, Conversation(connection, self.realtime, self.words))


@dataclass
class Overheard:
    """A `Listener` that says nothing."""

    messages: list[Any] = field(default_factory=list)

    def heard(self, message: str) -> None:
        self.messages.append(json.loads(message))

    def linked(self) -> None: ...

    def cut_off(self) -> None: ...


@dataclass(eq=False)
class Service:
    world: World
    medium: MemoryBroadcaster = field(default_factory=MemoryBroadcaster)
    processes: list[ProcessInMemory] = field(default_factory=list)

    def process(self, reads: Any = None) -> ProcessInMemory:
        """One more. It asks the store, unless it has `reads` of its own."""
        broadcaster = MemoryBroadcaster(self.medium.listeners)
        name = f"process-{len(self.processes)}"
        realtime = Realtime(name, reads or self.world.store, broadcaster, ClientWords(), self.world.clock)
        process = ProcessInMemory(self.world, realtime)
        self.processes.append(process)
        return process

    def overheard(self) -> list[Any]:
        """What the processes tell each other from now on."""
        ear = Overheard()
        self.medium.listeners[MemoryBroadcaster()] = ear
        return ear.messages

    @contextmanager
    def deaf(self, *processes: ProcessInMemory) -> Iterator[None]:
        """What others say meanwhile is lost for these, who know nothing of it."""
        deaf = [process.realtime for process in processes]
        lost = {at: listener for at, listener in self.medium.listeners.items() if listener in deaf}
        for at in lost:
            del self.medium.listeners[at]
        yield
        self.medium.listeners.update(lost)

    async def change(self, user: User, *item_ids: int, told: ProcessInMemory | None = None) -> None:
        """Commit a change of each of these items; news of it goes out from that process, or is lost."""
        await self.commit(*(ItemDeleted(item_id, user.id) for item_id in item_ids), told=told)

    async def commit(self, *events: Event, told: ProcessInMemory | None = None) -> None:
        self.world.store.changed = told.realtime.changed if told else lambda _: None
        async with self.world.store.begin() as work:
            for event in events:
                work.announce(event)


@asynccontextmanager
async def a_service(world: World) -> AsyncIterator[Service]:
    """Its database is some way off. Its processes stop in the end. What hasn't happened within an hour never will, and
    fails the test."""
    world.store.far = 0.0005
    service = Service(world)
    try:
        async with asyncio.timeout(3600):
            yield service
    finally:
        for process in service.processes:
            await process.realtime.close()
