"""What follows from what: the whole list.

Every reaction is a job, written down in the transaction that announces the event, and done by the handler of that
name in the container.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final

from application.ports.jobs import RUN_TASK, NewJob
from domain.events import (
    ContentAbandoned,
    EmailChanged,
    EmailChangeRequested,
    EmailRequested,
    Event,
    FileCreated,
    FileDeleted,
    ItemCreated,
    ItemDeleted,
    ItemUpdated,
    PasswordChanged,
    PasswordResetRequested,
    TaskStarted,
    TaskUpdated,
    UserDeleted,
    UserPinged,
    UserRegistered,
    VerificationRequested,
)

REACTIONS: Final[Mapping[type[Event], Sequence[str]]] = {
    UserRegistered: ["mail_verification"],
    VerificationRequested: ["mail_verification_again"],
    PasswordResetRequested: ["mail_password_reset"],
    PasswordChanged: ["mail_password_changed"],
    EmailChangeRequested: ["mail_email_change", "mail_email_change_requested"],
    EmailChanged: ["mail_email_changed"],
    EmailRequested: ["mail_message"],
    UserPinged: ["record_activity"],
    UserDeleted: [
        "remove_items_of_user",
        "remove_files_of_user",
        "remove_uploads_of_user",
        "remove_tasks_of_user",
        "remove_changes_of_user",
    ],
    ItemCreated: [],
    ItemUpdated: [],
    ItemDeleted: [],
    FileCreated: [],
    FileDeleted: ["collect_blob"],
    ContentAbandoned: ["collect_blob"],
    TaskStarted: [RUN_TASK],
    TaskUpdated: [],
}


def jobs_for(event: Event) -> list[NewJob]:
    """The jobs that the event causes. That of a task can be found by the task's id."""
    key = event.task_id if isinstance(event, TaskStarted) else None
    return [NewJob(kind=kind, payload=payload_of(event), dedupe_key=key) for kind in REACTIONS[type(event)]]


def payload_of(event: Event) -> dict[str, Any]:
    """What a handler gets of the event: its fields; of a thing its id and its owner's, since it may be another one, or
    gone, by the time that the job is done."""
    payload: dict[str, Any] = {}
    for field in fields(event):
        value: Any = getattr(event, field.name)
        if is_dataclass(type(value)):
            payload |= {f"{field.name}_id": value.id, "owner_id": value.owner_id}
        else:
            payload[field.name] = value
    return payload
