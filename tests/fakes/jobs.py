"""The job queue in memory."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from application.correlation import request_id, traceparent
from application.ports.jobs import RUN_TASK, TASK_ID, Job, JobDetails, JobRecord, LeaseLost, NewJob, QueueFigures
from domain.errors import Unavailable


@dataclass(kw_only=True)
class _Row:
    id: str
    kind: str
    payload: str
    dedupe_key: str | None
    request_id: str | None
    traceparent: str | None
    created_at: float
    due_at: float
    """While a worker has the job: when its lease ends."""
    state: str = "waiting"
    owner: str | None = None
    attempt: int = 0
    error: str | None = None

    def as_new(self, due_at: float) -> None:
        self.state, self.owner, self.attempt, self.error, self.due_at = "waiting", None, 0, None, due_at


@dataclass
class InMemoryJobs:
    """A `JobQueue`. Its clock is the event loop's; `advance` puts it forward.

    While `available` is False, every call raises `Unavailable`.
    """

    available: bool = True
    _rows: dict[str, _Row] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))
    _kept: set[str] = field(default_factory=set)
    """Jobs that a transaction holds."""
    _ahead: float = 0
    _added: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def advance(self, by: timedelta) -> None:
        """Put the queue's clock forward."""
        self._ahead += by.total_seconds()

    def write_down(self, job: NewJob, under: str | None) -> None:
        """What a transaction that commits does for each job it caused; `under` is the request's id."""
        if job.dedupe_key is not None and any(row.dedupe_key == job.dedupe_key for row in self._rows.values()):
            return
        now = self._now()
        row = _Row(
            id=f"job-{next(self._ids)}",
            kind=job.kind,
            payload=json.dumps(dict(job.payload)),
            dedupe_key=job.dedupe_key,
            request_id=under,
            traceparent=traceparent.get(),
            created_at=now,
            due_at=now + job.delay.total_seconds(),
        )
        self._rows[row.id] = row
        self._added.set()
        self._changed.set()

    def hold(self, job: Job) -> None:
        """Keep the job from others until `let_go`, as a transaction does that holds it. Raises `LeaseLost`."""
        self._held(job)
        self._kept.add(job.id)

    def let_go(self, job_ids: Iterable[str]) -> None:
        """What a transaction does at its end."""
        self._kept.difference_update(job_ids)

    def will_be_done(self, key: str) -> bool:
        """Whether there is a job with that dedupe key which is not dead."""
        return any(row.dedupe_key == key and row.state != "dead" for row in self._rows.values())

    async def settled(self) -> None:
        """Return when no job is being done, and none that is there could be done now."""
        async with asyncio.timeout(60):
            while any(row.state == "running" for row in self._rows.values()) or self._due():
                self._changed.clear()
                await self._changed.wait()

    async def claim(self, owner: str, *, limit: int, lease: timedelta, lasting: int | None = None) -> Sequence[Job]:
        self._must_be_available()
        self._added.clear()
        free = [row for row in self._due() if row.id not in self._kept]
        due = [row for row in free if row.kind != RUN_TASK][:limit]
        may_last = sorted((row for row in free if row.kind == RUN_TASK), key=lambda row: row.owner is None)
        due += may_last[: limit if lasting is None else lasting]
        for row in due:
            row.state, row.owner, row.attempt = "running", owner, row.attempt + 1
            row.due_at = self._now() + lease.total_seconds()
        return [Job(r.id, r.kind, _payload(r), r.attempt, owner, r.request_id, r.traceparent) for r in due]

    async def extend(self, job: Job, lease: timedelta) -> None:
        self._held(job).due_at = self._now() + lease.total_seconds()

    async def finish(self, job: Job) -> None:
        del self._rows[self._held(job).id]

    async def put_back(self, job: Job, *, delay: timedelta, error: str | None) -> None:
        row = self._held(job)
        row.state, row.owner, row.due_at = "waiting", None, self._now() + delay.total_seconds()
        if error is None:
            row.attempt -= 1
        else:
            row.error = error

    async def repeat(self, job: Job, *, delay: timedelta) -> None:
        self._held(job).as_new(self._now() + delay.total_seconds())

    async def bury(self, job: Job, *, error: str) -> None:
        row = self._held(job)
        row.state, row.owner, row.error = "dead", None, error

    async def revive(self, job_id: str) -> bool:
        self._must_be_available()
        row = self._rows.get(job_id)
        if row is None or row.state != "dead":
            return False
        row.as_new(self._now())
        self._added.set()
        self._changed.set()
        return True

    async def cancel(self, job_id: str) -> bool:
        self._must_be_available()
        self._changed.set()
        return self._rows.pop(job_id, None) is not None

    async def add(self, job: NewJob) -> None:
        self._must_be_available()
        self.write_down(job, request_id.get())

    async def wait(self, timeout: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                await self._added.wait()

    async def figures(self) -> QueueFigures:
        self._must_be_available()
        due = self._due()
        age = self._now() - due[0].due_at if due else 0.0
        rows = self._rows.values()
        return QueueFigures(
            len(due),
            age,
            dead=sum(row.state == "dead" for row in rows),
            running=sum(row.state == "running" and row.due_at > self._now() for row in rows),
            retrying=sum(row.state == "waiting" and row.attempt > 0 for row in rows),
        )

    async def list_jobs(self, *, state: str | None, limit: int) -> Sequence[JobRecord]:
        self._must_be_available()
        rows = [row for row in self._rows.values() if state in (None, row.state)][:limit]
        return [self._record(row) for row in rows]

    async def find(self, job_id: str) -> JobDetails | None:
        self._must_be_available()
        row = self._rows.get(job_id)
        if row is None:
            return None
        due = None if row.state == "dead" else row.due_at - self._now()
        payload = _payload(row)
        return JobDetails(self._record(row), due, row.owner, row.request_id, list(payload), payload.get(TASK_ID))

    def _record(self, row: _Row) -> JobRecord:
        return JobRecord(row.id, row.kind, row.state, row.attempt, row.error, self._now() - row.created_at)

    def _now(self) -> float:
        return asyncio.get_running_loop().time() + self._ahead

    def _due(self) -> list[_Row]:
        """What could be done now, longest due first."""
        now = self._now()
        due = [row for row in self._rows.values() if row.state != "dead" and row.due_at <= now]
        return sorted(due, key=lambda row: row.due_at)

    def _held(self, job: Job) -> _Row:
        """The job that this worker still has. Raises `LeaseLost`."""
        self._must_be_available()
        self._changed.set()
        row = self._rows.get(job.id)
        if row is None or (row.state, row.owner, row.attempt) != ("running", job.owner, job.attempt):
            raise LeaseLost
        return row

    def _must_be_available(self) -> None:
        if not self.available:
            raise Unavailable


def _payload(row: _Row) -> Mapping[str, Any]:
    payload: Mapping[str, Any] = json.loads(row.payload)
    return payload
