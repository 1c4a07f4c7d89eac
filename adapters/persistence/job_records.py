"""What operators see of the job queue: its figures, and the jobs in it."""

import json
from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, case, func, or_, select
from sqlmodel import col

from adapters.persistence.database import Database
from adapters.persistence.rows import JobRow
from adapters.persistence.statements import Row, Statement, now_ms
from application.ports.jobs import TASK_ID, JobDetails, JobRecord, QueueFigures

DUE: Final = col(JobRow.due_at) <= now_ms()
_STATE: Final = case(
    (col(JobRow.due_at).is_(None), "dead"), (col(JobRow.owner).is_not(None), "running"), else_="waiting"
)
FIGURES: Final = Statement(
    select(
        func.count().filter(DUE),
        func.coalesce(now_ms() - func.min(col(JobRow.due_at)).filter(DUE), 0),
        func.count().filter(col(JobRow.due_at).is_(None)),
        func.count().filter(col(JobRow.owner).is_not(None), col(JobRow.due_at) > now_ms()),
        func.count().filter(col(JobRow.owner).is_(None), col(JobRow.due_at).is_not(None), col(JobRow.attempt) > 0),
    ).select_from(JobRow)
)
_RECORD: Final = (
    col(JobRow.id),
    col(JobRow.kind),
    _STATE,
    col(JobRow.attempt),
    col(JobRow.error),
    now_ms() - col(JobRow.created_at),
)
LIST: Final = Statement(
    select(*_RECORD)
    .where(or_(bindparam("state") == "", bindparam("state") == _STATE))
    .order_by(col(JobRow.created_at), col(JobRow.id))
    .limit(bindparam("limit"))
)
FIND: Final = Statement(
    select(
        *_RECORD, col(JobRow.due_at) - now_ms(), col(JobRow.owner), col(JobRow.request_id), col(JobRow.payload)
    ).where(col(JobRow.id) == bindparam("job_id"))
)


async def figures(database: Database) -> QueueFigures:
    """All of them, in one look."""
    row = await database.first(FIGURES)
    assert row is not None  # an aggregate always has a row
    depth, age, dead, running, retrying = row
    return QueueFigures(depth, age / 1000, dead=dead, running=running, retrying=retrying)


async def list_jobs(database: Database, *, state: str | None, limit: int) -> Sequence[JobRecord]:
    """The oldest jobs, in this state if one is given."""
    rows = await database.all(LIST, state=state or "", limit=limit)
    return [_record(row) for row in rows]


async def find_job(database: Database, job_id: str) -> JobDetails | None:
    """The job, if it is there."""
    row = await database.first(FIND, job_id=job_id)
    if row is None:
        return None
    *record, due, owner, request, text = row
    payload = json.loads(text)
    return JobDetails(
        _record(record),
        due_in_seconds=None if due is None else due / 1000,
        owner=owner,
        request_id=request,
        payload_keys=list(payload),
        task_id=payload.get(TASK_ID),
    )


def _record(row: Row) -> JobRecord:
    id_, kind, state, attempt, error, age = row
    return JobRecord(id_, kind, state, attempt, error, age / 1000)
