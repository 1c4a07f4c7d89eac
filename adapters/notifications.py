"""PostgreSQL's notifications, heard on a connection of one's own."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

import asyncpg

TIMEOUT: Final = 10.0
"""Seconds for connecting, and for each answer."""
KEEP_ALIVE: Final = 10.0
"""Seconds after which the connection is asked whether it is still alive."""


async def hear(url: str, channel: str, *, begun: Callable[[], None], told: Callable[[str], None]) -> NoReturn:
    """Give `told` what each notification on the channel carries, until the connection is lost.

    `begun` is called once they are heard: there may have been some while nobody listened. Raises what asyncpg raises,
    `OSError` or `TimeoutError`.
    """
    connection = await asyncpg.connect(url, timeout=TIMEOUT, command_timeout=TIMEOUT)
    lost = asyncio.Event()
    try:
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(channel, lambda _connection, _pid, _channel, carried: told(carried))
        begun()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_ALIVE):
                    await lost.wait()
            await connection.fetch("SELECT 1")  # raises if it is lost
    finally:
        connection.terminate()
