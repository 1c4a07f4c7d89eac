"""Tasks in the database."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, select, update
from sqlmodel import col

from adapters.persistence.database import Database, Transaction
from adapters.persistence.owned import delete_owned, insert_owned
from adapters.persistence.pages import newest_first, page_of
from adapters.persistence.rows import JobRow, TaskRow
from adapters.persistence.statements import Row, Statement
from domain.pages import Page, PageRequest
from domain.sessions import InvalidAccessToken
from domain.tasks import Task, TaskId, TaskKind, TaskNotFound, TaskStatus

ADDED: Final = ("id", "owner_id", "kind", "params", "created_at")
CHANGING: Final = ("status", "progress", "message", "result", "error", "attempts", "started_at", "finished_at")
WRITTEN: Final = (*ADDED, *CHANGING)
"""The columns that the entity's fields of the same names are kept in, but for its number."""

TABLE: Final = TaskRow.__table__  # type: ignore[attr-defined]
COLUMNS: Final = tuple(TABLE.c[name] for name in ("number", *WRITTEN))
"""What `task_of` wants, in its order."""

ADD: Final = Statement(insert_owned(TaskRow, WRITTEN).returning(col(TaskRow.number)))
_BY_ID: Final = select(*COLUMNS).where(col(TaskRow.id) == bindparam("task_id"))
BY_ID: Final = Statement(_BY_ID)
LOCK_BY_ID: Final = Statement(_BY_ID.with_for_update())
SAVE: Final = Statement(
    update(TaskRow).where(col(TaskRow.id) == bindparam("task_id")).values({name: bindparam(name) for name in CHANGING})
)
FORSAKEN: Final = Statement(
    select(col(TaskRow.id))
    .where(col(TaskRow.finished_at).is_(None))
    .where(
        ~select(col(JobRow.id))
        .where(col(JobRow.dedupe_key) == col(TaskRow.id), col(JobRow.due_at).is_not(None))
        .exists()
    )
    .limit(bindparam("limit"))
)
DELETE_OWNED_BY: Final = Statement(delete_owned(TaskRow, col(TaskRow.number)))
SWEEP: Final = Statement(
    delete(TaskRow).where(
        col(TaskRow.number).in_(
            select(col(TaskRow.number)).where(col(TaskRow.finished_at) <= bindparam("before")).limit(bindparam("limit"))
        )
    )
)
_OWNED: Final = col(TaskRow.owner_id) == bindparam("owner_id")
UNFINISHED_OF: Final = Statement(
    select(func.count()).select_from(TaskRow).where(_OWNED, col(TaskRow.finished_at).is_(None))
)
NEWEST: Final = newest_first(
    select(*COLUMNS).where(_OWNED), col(TaskRow.number), select(func.count()).select_from(TaskRow).where(_OWNED)
)


def task_of(row: Row) -> Task:
    """The task in a row of `COLUMNS`."""
    (number, id_, owner_id, kind, params, created_at) = row[:6]
    (status, progress, message, result, error, attempts, started_at, finished_at) = row[6:]
    return Task(
        id=id_,
        number=number,
        owner_id=owner_id,
        kind=TaskKind(kind),
        params=json.loads(params),
        status=TaskStatus(status),
        progress=progress,
        message=message,
        result=None if result is None else json.loads(result),
        error=error,
        attempts=attempts,
        created_at=created_at,
        started_at=started_at,
        finished_at=finished_at,
    )


def _values(task: Task) -> dict[str, Any]:
    values = {name: getattr(task, name) for name in WRITTEN}
    return values | {
        "kind": task.kind.value,
        "status": task.status.value,
        "params": json.dumps(task.params),
        "result": None if task.result is None else json.dumps(task.result),
    }


class SqlTasks:
    """Implements `Tasks`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, task: Task) -> Task:
        row = await self._transaction.first(ADD, **_values(task))
        if row is None:
            raise InvalidAccessToken
        task.number = row[0]
        return task

    async def get(self, task_id: str) -> Task:
        row = await self._transaction.first(LOCK_BY_ID, task_id=task_id)
        if row is None:
            raise TaskNotFound
        return task_of(row)

    async def save(self, task: Task) -> None:
        await self._transaction.run(SAVE, task_id=task.id, **_values(task))

    async def unfinished_of(self, owner_id: int) -> int:
        row = await self._transaction.first(UNFINISHED_OF, owner_id=owner_id)
        assert row is not None  # an aggregate always has a row
        return int(row[0])

    async def forsaken(self, *, limit: int) -> Sequence[TaskId]:
        return [TaskId(row[0]) for row in await self._transaction.all(FORSAKEN, limit=limit)]

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        return await self._transaction.run(DELETE_OWNED_BY, owner_id=user_id, limit=limit)

    async def sweep(self, before: datetime, *, limit: int) -> int:
        return await self._transaction.run(SWEEP, before=before, limit=limit)


async def find_task(database: Database, task_id: str) -> Task:
    """Raises `TaskNotFound`."""
    row = await database.first(BY_ID, task_id=task_id)
    if row is None:
        raise TaskNotFound
    return task_of(row)


async def page_of_tasks(database: Database, owner_id: int, request: PageRequest) -> Page[Task]:
    """Newest first."""
    return await page_of(database, NEWEST, task_of, request, owner_id=owner_id)
