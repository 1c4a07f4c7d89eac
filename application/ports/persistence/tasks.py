"""The tasks, as they are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.tasks import Task, TaskId


class Tasks(Protocol):
    """The tasks, inside a transaction. `get` keeps others from changing the row until it ends."""

    async def add(self, task: Task) -> Task:
        """Store a new task and give it its number. Its owner can't be deleted until this transaction ends.

        Raises `InvalidAccessToken` if the owner is gone.
        """

    async def get(self, task_id: str) -> Task:
        """Raises `TaskNotFound`."""

    async def save(self, task: Task) -> None: ...

    async def unfinished_of(self, owner_id: int) -> int:
        """How many tasks of that user have not ended."""

    async def forsaken(self, *, limit: int) -> Sequence[TaskId]:
        """Tasks that have not ended and that no job will ever do: it died, or somebody took it out of the queue."""

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        """Remove up to `limit` tasks of that user; how many there were."""

    async def sweep(self, before: datetime, *, limit: int) -> int:
        """Remove up to `limit` tasks that ended at that time or earlier; how many there were."""
