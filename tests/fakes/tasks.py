"""Tasks and the state of imports in memory. Entities are copied on their way in and out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.imports import Import
from domain.pages import Page, PageRequest
from domain.sessions import InvalidAccessToken
from domain.tasks import Task, TaskId, TaskNotFound
from tests.fakes.jobs import InMemoryJobs
from tests.fakes.repositories import Tables


@dataclass
class InMemoryTasks:
    tables: Callable[[], Tables]
    queue: InMemoryJobs

    async def add(self, task: Task) -> Task:
        if task.owner_id not in self.tables().users:
            raise InvalidAccessToken
        added = replace(task, number=next(self.tables().task_numbers))
        self.tables().tasks[added.id] = added
        return replace(added)

    async def get(self, task_id: str) -> Task:
        if task_id not in self.tables().tasks:
            raise TaskNotFound
        return replace(self.tables().tasks[task_id])

    async def save(self, task: Task) -> None:
        if task.id in self.tables().tasks:
            self.tables().tasks[task.id] = replace(task)

    async def unfinished_of(self, owner_id: int) -> int:
        return sum(task.owner_id == owner_id and not task.has_ended for task in self.tables().tasks.values())

    async def forsaken(self, *, limit: int) -> Sequence[TaskId]:
        tasks = [task for task in self.tables().tasks.values() if not task.has_ended]
        return [task.id for task in tasks if not self.queue.will_be_done(task.id)][:limit]

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        return self._remove([task for task in self.tables().tasks.values() if task.owner_id == user_id][:limit])

    async def sweep(self, before: datetime, *, limit: int) -> int:
        tasks = self.tables().tasks.values()
        return self._remove([task for task in tasks if task.finished_at and task.finished_at <= before][:limit])

    def _remove(self, tasks: Sequence[Task]) -> int:
        for task in tasks:
            del self.tables().tasks[task.id]
        return len(tasks)


@dataclass
class InMemoryImports:
    tables: Callable[[], Tables]

    async def get(self, file_id: int) -> Import:
        state = self.tables().imports.setdefault(file_id, Import(file_id=file_id))
        return replace(state, errors=[*state.errors])

    async def save(self, state: Import) -> None:
        if state.file_id in self.tables().imports:
            self.tables().imports[state.file_id] = replace(state, errors=[*state.errors])


def page_of_tasks(tables: Tables, owner_id: int, request: PageRequest) -> Page[Task]:
    """That page of the tasks of that user."""
    found = sorted(
        (task for task in tables.tasks.values() if task.owner_id == owner_id), key=lambda t: t.number, reverse=True
    )
    rest = found[request.skip :]
    if request.after is not None:
        rest = [task for task in found if (task.number,) < request.after]
    page = [replace(task) for task in rest[: request.limit]]
    return Page(
        page,
        total=len(found) if request.after is None else None,
        next_key=(page[-1].number,) if len(rest) > len(page) > 0 else None,
    )
