"""The background work as an operator reads it, on the command line."""

from collections.abc import Iterable, Sequence
from typing import Final

from application.jobs import RETRY_DELAYS
from application.ports.jobs import JobDetails, JobQueue, JobRecord
from application.ports.persistence import Reads
from domain.tasks import Task, TaskNotFound

COLUMNS: Final = ("ID", "STATE", "KIND", "ATTEMPTS", "AGE", "ERROR")
BAR: Final = 20
"""Characters."""
MOST_ATTEMPTS: Final = len(RETRY_DELAYS) + 1
UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60))
"""Seconds."""


def table(jobs: Iterable[JobRecord], width: int | None) -> str:
    """A line for each job under a head, cut to `width` characters if that is given. Columns are as wide as need be."""
    rows = [COLUMNS, *(_row(job) for job in jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(line if width is None or len(line) <= width else f"{line[: width - 1]}…" for line in lines)


def _row(job: JobRecord) -> tuple[str, ...]:
    return (job.id, job.state, job.kind, str(job.attempt), span(job.age_seconds), printable(job.error or ""))


def details(job: JobDetails, task: Task | None = None) -> str:
    """All there is to know of a job but for what its payload says: there are addresses in it, and messages.

    `task` is the one that it does, if it does one.
    """
    record = job.record
    facts: Sequence[tuple[str, str | None]] = (
        ("Job", record.id),
        ("Kind", record.kind),
        ("State", _state(job, task)),
        ("Attempts", f"{bar(record.attempt / MOST_ATTEMPTS)} {record.attempt} of {MOST_ATTEMPTS}"),
        ("Task", f"{bar(task.progress / 100)} {task.progress} % of {task.kind}, {task.status}" if task else None),
        ("Age", span(record.age_seconds)),
        ("Error", record.error),
        ("Worker", job.owner),
        ("Request", job.request_id),
        ("Payload", f"{', '.join(job.payload_keys)} (the values are not shown)" if job.payload_keys else None),
    )
    return "\n".join(f"{name:<9} {printable(value)}" for name, value in facts if value)


async def shown(job_id: str, queue: JobQueue, reads: Reads) -> str | None:
    """The details of the job of that id, and how far the task is that it does. None if there is no such job."""
    job = await queue.find(job_id)
    return None if job is None else details(job, await _task_of(job, reads))


async def retried(job_id: str, queue: JobQueue, reads: Reads) -> bool:
    """Have a dead job tried again. False if there is no dead job of that id.

    Raises `TaskFinished` if the task that it does has ended: trying again would bring nothing about.
    """
    job = await queue.find(job_id)
    task = None if job is None else await _task_of(job, reads)
    if task is not None:
        task.must_go_on()
    return await queue.revive(job_id)


async def _task_of(job: JobDetails, reads: Reads) -> Task | None:
    if job.task_id is None:
        return None
    try:
        return await reads.task(job.task_id)
    except TaskNotFound:  # it went with its owner
        return None


def _state(job: JobDetails, task: Task | None) -> str:
    state, due = job.record.state, job.due_in_seconds
    if due is None and task is not None and task.has_ended:
        return f"{state}, and its task has ended: portico jobs cancel takes it out"
    if due is None:
        return f"{state}: portico jobs retry tries it again, portico jobs cancel takes it out"
    if state == "running":
        return f"{state}, under a lease for another {span(due)}" if due > 0 else f"{state}, but its lease has ended"
    return f"{state}, due in {span(due)}" if due > 0 else f"{state}, due for {span(-due)}"


def bar(fraction: float) -> str:
    """How much of the whole that is; more than all of it is all of it."""
    full = round(min(1.0, max(0.0, fraction)) * BAR)
    return f"[{'█' * full}{'░' * (BAR - full)}]"


def span(seconds: float) -> str:
    """So long, in the greatest unit that fits."""
    for unit, size in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def printable(text: str) -> str:
    """On one line, without what drives a terminal: an error may quote what another server said."""
    return "".join(character if character.isprintable() else " " for character in text)
