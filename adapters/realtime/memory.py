"""Processes that are none: everything that is to hear it is in this one."""

import asyncio
from dataclasses import dataclass, field

from application.ports.realtime import Listener


@dataclass(eq=False)
class MemoryBroadcaster:
    """A `Broadcaster` among those that share `listeners`; by default nobody else does."""

    listeners: "dict[MemoryBroadcaster, Listener]" = field(default_factory=dict)

    def publish(self, message: str) -> None:
        for broadcaster, listener in self.listeners.items():
            if broadcaster is not self:
                asyncio.get_running_loop().call_soon(listener.heard, message)

    async def listen(self, listener: Listener) -> None:
        self.listeners[self] = listener
        listener.linked()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            del self.listeners[self]

    async def close(self) -> None:
        pass
