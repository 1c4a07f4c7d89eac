"""Tasks: work for one person that outlives the request, with a progress that can be looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NewType

from domain.errors import Conflict, NotFound
from domain.users import Actor, UserId

TaskId = NewType("TaskId", str)

KEPT: Final = timedelta(days=30)
"""How long a task can be looked at once it has ended."""
MOST_UNFINISHED: Final = 100
"""Tasks of one user that have not ended: those of everybody else wait behind no more than these."""


class TaskNotFound(NotFound):
    code = "task_not_found"
    message = "Task not found"


class TaskFinished(Conflict):
    """The task was cancelled or has ended otherwise: nothing more can be said of it."""

    code = "task_finished"
    message = "The task has ended already"


class TooManyTasks(Conflict):
    code = "too_many_tasks"
    message = f"You have {MOST_UNFINISHED} tasks that have not ended. Please wait for one of them, or cancel one"


def must_have_place(unfinished: int) -> None:
    """Raises `TooManyTasks` if a user who has so many tasks that have not ended may start no other one."""
    if unfinished >= MOST_UNFINISHED:
        raise TooManyTasks


class TaskImpossible(Exception):
    """The task can't be done, however often it is tried. `code` is stable; the text says what a person can do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class TaskKind(StrEnum):
    EXPORT_ACCOUNT = "export_account"
    IMPORT_ITEMS = "import_items"


class TaskStatus(StrEnum):
    STARTED = "started"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(kw_only=True, slots=True)
class Task:
    """One piece of work. Once it has ended, nothing about it changes any more."""

    id: TaskId
    number: int = 0
    """Where it stands in the list: given by the repository, greater than that of any task before."""
    owner_id: UserId
    kind: TaskKind
    params: Mapping[str, Any] = field(default_factory=dict)
    status: TaskStatus = TaskStatus.STARTED
    progress: int = 0
    """0 to 100, never falling; 100 once it is completed, and not before."""
    message: str | None = None
    """How it stands, or what a person can do about it, in words."""
    result: Mapping[str, Any] | None = None
    error: str | None = None
    """Why it failed, as a stable code."""
    attempts: int = 0
    """How often a worker has begun it."""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def must_belong_to(self, actor: Actor) -> None:
        """Raises `TaskNotFound` for anybody else, superusers too."""
        if self.owner_id != actor.user.id:
            raise TaskNotFound

    @property
    def has_ended(self) -> bool:
        return self.finished_at is not None

    def must_go_on(self) -> None:
        """Raises `TaskFinished`."""
        if self.has_ended:
            raise TaskFinished

    def begin(self, now: datetime) -> None:
        """A worker takes it up, for the first time or again. Raises `TaskFinished`."""
        self.must_go_on()
        self.status = TaskStatus.RUNNING
        self.attempts += 1
        self.started_at = self.started_at or now

    def advance(self, progress: float, message: str) -> None:
        """So many hundredths are done; progress never falls, and the message is this one. Raises `TaskFinished`."""
        self.must_go_on()
        self.progress = max(self.progress, min(99, int(progress)))
        self.message = message

    def complete(self, result: Mapping[str, Any], message: str, now: datetime) -> None:
        """It is done. Raises `TaskFinished`."""
        self.must_go_on()
        self.status, self.progress, self.finished_at = TaskStatus.COMPLETED, 100, now
        self.result, self.message = result, message

    def fail(self, code: str, message: str, now: datetime) -> None:
        """It will not be done. What it has brought about until now stays its result. Raises `TaskFinished`."""
        self.must_go_on()
        self.status, self.finished_at = TaskStatus.FAILED, now
        self.error, self.message = code, message

    def cancel(self, now: datetime) -> None:
        """Nobody wants it any more. Raises `TaskFinished`."""
        self.must_go_on()
        self.status, self.finished_at = TaskStatus.CANCELLED, now
        self.message = "Cancelled"
