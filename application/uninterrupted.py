"""Steps that must not be left half done."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(step: Coroutine[Any, Any, T]) -> T:
    """Take a step to its end, even if whoever waits for it goes away: what comes next must find it done."""
    taking = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        await asyncio.wait([taking])
        if not taking.cancelled():
            taking.exception()  # nobody else will ask for it
        raise
