"""What the owner of a thing is shown of its changes: the whole list.

A change is written down in the transaction that announces the event, as the API shows the thing at that moment.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from application.ports.jobs import Job
from application.ports.persistence import Begin
from application.ports.realtime import NewChange, Show
from domain.events import Event, FileCreated, FileDeleted, ItemCreated, ItemDeleted, ItemUpdated, TaskUpdated

CHANNELS: Final = ("items", "files", "tasks")
"""What can be subscribed to."""
KEPT: Final = timedelta(hours=24)
"""How long one can resume from a change."""
BATCH: Final = 1000
"""Changes of a deleted user that a transaction removes at most."""


def change_of(event: Event, show: Show) -> NewChange | None:
    """What the event shows, to whom, and where; None if nobody is shown anything."""
    change = None
    match event:
        case ItemCreated(item):
            change = NewChange(item.owner_id, "items", "item.created", show(item))
        case ItemUpdated(item):
            change = NewChange(item.owner_id, "items", "item.updated", show(item))
        case ItemDeleted(item_id, owner_id):
            change = NewChange(owner_id, "items", "item.deleted", _gone(item_id))
        case FileCreated(file):
            change = NewChange(file.owner_id, "files", "file.created", show(file))
        case FileDeleted(file_id, owner_id):
            change = NewChange(owner_id, "files", "file.deleted", _gone(file_id))
        case TaskUpdated(task):
            change = NewChange(task.owner_id, "tasks", "task.updated", show(task))
    return change


def _gone(thing_id: int) -> str:
    return json.dumps({"id": thing_id})


@dataclass(frozen=True)
class RemoveChangesOfUser:
    """A reaction to `UserDeleted`, in batches."""

    begin: Begin

    async def __call__(self, job: Job) -> None:
        removed = BATCH
        while removed >= BATCH:
            async with self.begin() as work:
                removed = await work.changes.delete_of(job.payload["user_id"], limit=BATCH)
