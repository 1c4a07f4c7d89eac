"""Which task is inside a transaction, so that what must not happen there can be refused."""

import asyncio
from contextvars import ContextVar

holder: ContextVar[asyncio.Task[object] | None] = ContextVar("holder", default=None)


def is_inside_a_transaction() -> bool:
    """Whether the current task is. One that was started inside a transaction has no part in it."""
    return holder.get() is not None and holder.get() is asyncio.current_task()


def must_be_outside_a_transaction(what: str) -> None:
    """Raises `AssertionError`: what takes long or waits for others must not hold a transaction open."""
    if is_inside_a_transaction():
        raise AssertionError(f"{what} inside a transaction")
