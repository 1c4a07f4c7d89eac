"""Background work: written down in the transaction that causes it, done once that is committed.

At least once is what can be had, so each reaction is idempotent, keyed by the job's id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

RUN_TASK: Final = "run_task"
"""The kind of those jobs that may last for hours. They are claimed apart, so that nothing short waits behind them."""
TASK_ID: Final = "task_id"
"""What the payload of such a job calls the task that it does."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """Work to be done. While a job with the same `dedupe_key` is there, another one is not added."""

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    delay: timedelta = timedelta()
    dedupe_key: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job in the hands of one worker, under a lease. `(owner, attempt)` fences whatever the worker says of it."""

    id: str
    kind: str
    payload: Mapping[str, Any]
    attempt: int
    """1 the first time."""
    owner: str
    request_id: str | None
    traceparent: str | None = None
    """What caused it, as W3C Trace Context writes it, if that was traced."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as an operator sees it."""

    id: str
    kind: str
    state: str
    """`waiting`, `running` or `dead`."""
    attempt: int
    error: str | None
    age_seconds: float


@dataclass(frozen=True, slots=True)
class JobDetails:
    """All that an operator may see of a job."""

    record: JobRecord
    due_in_seconds: float | None
    """Until it may be claimed; negative once it may. While it runs, until its lease ends. None if it is dead."""
    owner: str | None
    """The worker that has it."""
    request_id: str | None
    payload_keys: Sequence[str]
    """What it is about. The values aren't here: they may be personal."""
    task_id: str | None = None
    """The task that it does, if it does one."""


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How much is waiting to be done, and since when."""

    depth: int
    """Jobs that could be done now."""
    age_seconds: float
    """How long the one that is longest due has been waiting; 0 if none is."""
    dead: int
    running: int
    """Jobs in the hands of a worker whose lease holds."""
    retrying: int
    """Jobs that have failed at least once, and are to be tried again."""


class PermanentFailure(Exception):
    """What a handler raises when another attempt would end the same way. The text is for the operator."""


class LeaseLost(Exception):
    """Somebody else has the job now, or it was cancelled: what this worker wants to say of it no longer counts."""


class JobQueue(Protocol):
    """Times are those of the database's clock, so that workers need not agree on theirs."""

    async def claim(self, owner: str, *, limit: int, lease: timedelta, lasting: int | None = None) -> Sequence[Job]:
        """Take jobs that are due, or whose worker let its lease run out. Nobody else gets them.

        Up to `limit` of them, and of those that may last up to `lasting` (`limit`, if it isn't given). Those that have
        been due for longest come first; of those that may last, whatever a worker left before all that waits: behind
        many that each take an hour it would stand still for days.
        """

    async def extend(self, job: Job, lease: timedelta) -> None:
        """Keep the job for another `lease` from now. Raises `LeaseLost`."""

    async def finish(self, job: Job) -> None:
        """It is done, and gone. Raises `LeaseLost`."""

    async def put_back(self, job: Job, *, delay: timedelta, error: str | None) -> None:
        """It is to be tried again after `delay`. Without an error the attempt doesn't count. Raises `LeaseLost`."""

    async def repeat(self, job: Job, *, delay: timedelta) -> None:
        """It is done, and is to be done again after `delay`, as if new. Raises `LeaseLost`."""

    async def bury(self, job: Job, *, error: str) -> None:
        """It failed for good: it is kept, dead, until somebody revives or cancels it. Raises `LeaseLost`."""

    async def revive(self, job_id: str) -> bool:
        """Try a dead job again, as if new. False if there is no dead job of that id."""

    async def cancel(self, job_id: str) -> bool:
        """Take the job out of the queue. A worker that has it finds out when it next extends its lease.

        False if there is no job of that id.
        """

    async def add(self, job: NewJob) -> None:
        """Write a job down in a transaction of its own."""

    async def wait(self, timeout: timedelta) -> None:
        """Return when something was added, or after `timeout`."""

    async def figures(self) -> QueueFigures:
        """How the queue stands."""

    async def list_jobs(self, *, state: str | None, limit: int) -> Sequence[JobRecord]:
        """The jobs that are there, oldest first."""

    async def find(self, job_id: str) -> JobDetails | None: ...
