"""Taking out what has expired."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from application.changes import KEPT as CHANGES_KEPT
from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.persistence import Begin, Work
from domain import tasks
from domain.idempotency import KEPT

BATCH: Final = 500
"""Rows a transaction removes at most, so that none of them lasts long."""
REMEMBERED: Final = timedelta(days=7)
"""How long an expired mailed token is kept: longer than its mail is retried by itself, so that no such retry revives a
dead one. A mail that an operator has sent again later than that makes a new link, as if it were asked for only then."""
OVERDUE: Final = timedelta(days=2)
"""How long a session that has expired is left alone: a host whose clock is wrong must not sign anybody out for good."""
CHANGES_SPARED: Final = timedelta(hours=1)
"""How long a change is kept after nobody can resume from it. Of two that are written down at once, the first may bear
the later time: whatever follows the one somebody resumes from must still be there."""


async def _sweep_sessions(work: Work, now: datetime) -> int:
    return await work.sessions.sweep(now - OVERDUE, limit=BATCH)


async def _sweep_mailed_tokens(work: Work, now: datetime) -> int:
    return await work.mailed_tokens.sweep(now - REMEMBERED, limit=BATCH)


async def _sweep_answers(work: Work, _: datetime) -> int:
    return await work.kept_answers.sweep(KEPT, limit=BATCH)


async def _sweep_changes(work: Work, _: datetime) -> int:
    return await work.changes.sweep(CHANGES_KEPT + CHANGES_SPARED, limit=BATCH)


async def _sweep_tasks(work: Work, now: datetime) -> int:
    return await work.tasks.sweep(now - tasks.KEPT, limit=BATCH)


SWEEPS: Final[tuple[Callable[[Work, datetime], Awaitable[int]], ...]] = (
    _sweep_sessions,
    _sweep_mailed_tokens,
    _sweep_answers,
    _sweep_changes,
    _sweep_tasks,
)


@dataclass(frozen=True)
class SweepExpired:
    """Remove what has expired (sessions, tokens of every kind, kept answers, changes, tasks that ended), in batches."""

    begin: Begin
    clock: Clock

    async def __call__(self, _: Job) -> None:
        for sweep in SWEEPS:
            removed = BATCH
            while removed >= BATCH:
                async with self.begin() as work:
                    removed = await sweep(work, self.clock.now())
