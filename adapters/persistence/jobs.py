"""The job queue: a table beside the others, so that a job is written in the transaction that causes it.

One implementation serves both databases: PostgreSQL skips rows that another worker is just claiming, SQLite has one
writer at a time anyway. Every statement about a claimed job is fenced by `(id, owner, attempt)`.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    not_,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlmodel import col

from adapters.persistence.database import JOBS, Database, NotUnique, Transaction
from adapters.persistence.job_records import DUE, figures, find_job, list_jobs
from adapters.persistence.rows import JobRow
from adapters.persistence.statements import Statement, now_ms, texts_in
from application.correlation import request_id, traceparent
from application.ports.jobs import RUN_TASK, Job, JobDetails, JobRecord, LeaseLost, NewJob, QueueFigures

_MINE: Final = and_(
    col(JobRow.id) == bindparam("job_id"),
    col(JobRow.owner) == bindparam("by_owner"),
    col(JobRow.attempt) == bindparam("at_attempt"),
)

ADD: Final = Statement(
    insert(JobRow).values(
        id=bindparam("job_id"),
        kind=bindparam("kind"),
        payload=bindparam("payload"),
        dedupe_key=bindparam("dedupe_key"),
        request_id=bindparam("request_id"),
        traceparent=bindparam("traceparent"),
        created_at=now_ms(),
        due_at=now_ms() + bindparam("delay"),
        attempt=0,
    )
)
_LASTS: Final = col(JobRow.kind) == literal_column(f"'{RUN_TASK}'")  # as it is, or no index for just these would serve
ANY_DUE: Final = Statement(
    select(col(JobRow.id)).where(DUE, or_(not_(_LASTS), bindparam("lasting", type_=Integer) > 0)).limit(1)
)


def _to_claim(kinds: ColumnElement[bool], limit: str, *order: Any) -> Select[str]:
    """Looked up once: PostgreSQL may run a subquery again for each row, and take more than the limit."""
    due = select(col(JobRow.id)).where(DUE, kinds).order_by(*order).limit(bindparam(limit))
    return select(due.with_for_update(skip_locked=True).cte(f"to_claim_{limit}").c.id)


_LONGEST_DUE: Final = col(JobRow.due_at)
_FORSAKEN_FIRST: Final = col(JobRow.owner).is_(None)
CLAIM: Final = Statement(
    update(JobRow)
    .where(
        col(JobRow.id).in_(
            union_all(
                _to_claim(not_(_LASTS), "limit", _LONGEST_DUE),
                _to_claim(_LASTS, "lasting", _FORSAKEN_FIRST, _LONGEST_DUE),
            )
        )
    )
    .values(owner=bindparam("new_owner"), attempt=col(JobRow.attempt) + 1, due_at=now_ms() + bindparam("lease"))
    .returning(
        col(JobRow.id),
        col(JobRow.kind),
        col(JobRow.payload),
        col(JobRow.attempt),
        col(JobRow.request_id),
        col(JobRow.traceparent),
    )
)
EXTEND: Final = Statement(update(JobRow).where(_MINE).values(due_at=now_ms() + bindparam("lease")))
# Whoever extends the lease meanwhile need not wait; whoever wants to claim the job passes it over.
HOLD: Final = Statement(select(col(JobRow.id)).where(_MINE).with_for_update(read=True, key_share=True))
FINISH: Final = Statement(
    delete(JobRow)
    .where(
        col(JobRow.id).op("IN")(texts_in(bindparam("job_ids"))),
        col(JobRow.owner) == bindparam("by_owner"),
        col(JobRow.attempt) == bindparam("at_attempt"),
    )
    .returning(col(JobRow.id))
)
PUT_BACK: Final = Statement(
    update(JobRow)
    .where(_MINE)
    .values(
        owner=null(),
        due_at=now_ms() + bindparam("delay"),
        attempt=bindparam("next_attempt"),
        error=func.coalesce(bindparam("error", type_=Text), col(JobRow.error)),
    )
)
REPEAT: Final = Statement(
    update(JobRow).where(_MINE).values(owner=null(), due_at=now_ms() + bindparam("delay"), attempt=0, error=null())
)
BURY: Final = Statement(update(JobRow).where(_MINE).values(owner=null(), due_at=null(), error=bindparam("error")))
REVIVE: Final = Statement(
    update(JobRow)
    .where(col(JobRow.id) == bindparam("job_id"), col(JobRow.due_at).is_(None))
    .values(due_at=now_ms(), attempt=0, error=null())
)
CANCEL: Final = Statement(delete(JobRow).where(col(JobRow.id) == bindparam("job_id")))


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def _values(job: NewJob) -> dict[str, Any]:
    """What is written of the job, under the id of the request that causes it."""
    return {
        "job_id": str(uuid4()),
        "kind": job.kind,
        "payload": json.dumps(job.payload),
        "dedupe_key": job.dedupe_key,
        "request_id": request_id.get(),
        "traceparent": traceparent.get(),
        "delay": _ms(job.delay),
    }


def write_down(transaction: Transaction, jobs: Sequence[NewJob]) -> None:
    """Add the jobs at the end of this transaction, which raises `NotUnique` for a dedupe key that is there already."""
    transaction.at_end(ADD, [_values(job) for job in jobs])


def _fence(job: Job) -> dict[str, Any]:
    return {"job_id": job.id, "by_owner": job.owner, "at_attempt": job.attempt}


async def hold(transaction: Transaction, job: Job) -> None:
    """Keep the job from others until this transaction ends. Raises `LeaseLost`."""
    if await transaction.first(HOLD, **_fence(job)) is None:
        raise LeaseLost


class SqlJobQueue:
    """Implements `JobQueue`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._finished: dict[tuple[str, int], dict[str, asyncio.Future[bool]]] = {}
        """What is to be written down as finished: by owner and attempt, then by id."""
        self._finishing: asyncio.Task[None] | None = None
        self._found_some = False
        """Whether the last look found something to claim: then there is likely more, and it is claimed right away."""

    async def claim(self, owner: str, *, limit: int, lease: timedelta, lasting: int | None = None) -> Sequence[Job]:
        lasting = limit if lasting is None else lasting
        if not self._found_some and await self._database.first(ANY_DUE, lasting=lasting) is None:
            return []
        rows = await self._database.change(CLAIM, new_owner=owner, limit=limit, lasting=lasting, lease=_ms(lease))
        self._found_some = len(rows) > 0
        return [
            Job(id_, kind, json.loads(payload), attempt, owner, request, trace)
            for id_, kind, payload, attempt, request, trace in rows
        ]

    async def extend(self, job: Job, lease: timedelta) -> None:
        await self._say_of(job, EXTEND, lease=_ms(lease))

    async def finish(self, job: Job) -> None:
        """Those that finish while others are being written down are written down together, next."""
        alike = self._finished.setdefault((job.owner, job.attempt), {})
        finished = alike.setdefault(job.id, asyncio.get_running_loop().create_future())
        if self._finishing is None or self._finishing.done():
            self._finishing = asyncio.create_task(self._write_down_finished())
        if not await finished:
            raise LeaseLost

    async def _write_down_finished(self) -> None:
        while self._finished:
            (owner, attempt), jobs = self._finished.popitem()
            try:
                rows = await self._database.change(
                    FINISH, job_ids=json.dumps(list(jobs)), by_owner=owner, at_attempt=attempt
                )
            except Exception as error:  # whatever it is, those who wait must hear of it
                for finished in jobs.values():
                    if not finished.done():
                        finished.set_exception(error)
            else:
                gone = {row[0] for row in rows}
                for job_id, finished in jobs.items():
                    if not finished.done():
                        finished.set_result(job_id in gone)

    async def put_back(self, job: Job, *, delay: timedelta, error: str | None) -> None:
        attempt = job.attempt if error is not None else job.attempt - 1
        await self._say_of(job, PUT_BACK, delay=_ms(delay), next_attempt=attempt, error=error)

    async def repeat(self, job: Job, *, delay: timedelta) -> None:
        await self._say_of(job, REPEAT, delay=_ms(delay))

    async def bury(self, job: Job, *, error: str) -> None:
        await self._say_of(job, BURY, error=error)

    async def _say_of(self, job: Job, statement: Statement, **values: Any) -> None:
        async with self._database.transaction() as transaction:
            changed = await transaction.run(statement, **_fence(job), **values)
        if not changed:
            raise LeaseLost

    async def revive(self, job_id: str) -> bool:
        return await self._change(REVIVE, job_id)

    async def cancel(self, job_id: str) -> bool:
        return await self._change(CANCEL, job_id)

    async def _change(self, statement: Statement, job_id: str) -> bool:
        async with self._database.transaction() as transaction:
            changed = await transaction.run(statement, job_id=job_id)
        self._database.signal(JOBS)
        return changed > 0

    async def add(self, job: NewJob) -> None:
        try:
            await self._database.change(ADD, **_values(job))
        except NotUnique:
            return  # one with the same key is there
        self._database.signal(JOBS)

    async def wait(self, timeout: timedelta) -> None:
        await self._database.wait_for(JOBS, timeout)

    async def figures(self) -> QueueFigures:
        return await figures(self._database)

    async def list_jobs(self, *, state: str | None, limit: int) -> Sequence[JobRecord]:
        return await list_jobs(self._database, state=state, limit=limit)

    async def find(self, job_id: str) -> JobDetails | None:
        return await find_job(self._database, job_id)
