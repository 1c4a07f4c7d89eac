"""Doing the background work alone, in a process of its own."""

import asyncio
import signal

from entrypoints.container import Container
from entrypoints.lifecycle import running


async def work(container: Container) -> None:
    """Work until SIGTERM or SIGINT; jobs under way finish, or go back to the queue."""
    stopping = container.stopping()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    async with running(container, with_worker=True):
        await stopping.wait()
