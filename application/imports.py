"""Importing items from a CSV file of any size."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from application.csv_rows import CsvReader
from application.ports.clock import Clock
from application.ports.persistence import Reads
from application.ports.storage import BlobMissing, BlobStore
from application.task_runs import Run
from domain.events import ItemCreated
from domain.files import File, FileNotFound
from domain.imports import MOST_ERRORS, CsvRow, Import, NewItem, Overtaken, RowError, as_item, must_be_header
from domain.items import Item
from domain.tasks import TaskImpossible

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 1024 * 1024
"""How much of the file becomes items in one transaction, at most."""
AT_A_TIME: Final = 32 * 1024
"""Bytes that are read as rows before others have their turn: a store's pieces may be large, and all of it blank."""


@dataclass
class _Batch:
    """Rows that become items together, and where the next one begins."""

    begins: int
    end: int
    line: int
    items: list[NewItem] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.items) + len(self.errors) >= BATCH_ROWS or self.end - self.begins >= BATCH_BYTES

    def add(self, row: CsvRow) -> None:
        item = as_item(row)
        self.end, self.line = row.end, row.end_line
        if isinstance(item, RowError):
            self.errors.append(item)
        else:
            self.items.append(item)


@dataclass(frozen=True)
class ImportItems:
    """Make an item of each good row of a file, once, and name the bad ones.

    Rows become items in batches, and each batch commits together with how far the file has been imported: whoever goes
    on, after a crash or beside another task for the same file, goes on right there.
    """

    reads: Reads
    store: BlobStore
    clock: Clock

    async def __call__(self, run: Run) -> None:
        """Raises `TaskImpossible` when the file is gone or begins with another header."""
        while not run.task.has_ended:
            try:
                file = await self.reads.file(run.task.params["file_id"])
                state = await self.reads.import_of(file.id)
                if state.finished:
                    await self._conclude(run, file)
                else:
                    await self._go_on(run, file, state)
            except Overtaken:
                continue
            except (FileNotFound, BlobMissing):
                raise _file_is_gone(run) from None

    async def _go_on(self, run: Run, file: File, state: Import) -> None:
        batch = _Batch(state.position, state.position, state.line)
        async with self.store.read(file.sha256, start=min(state.position, file.size)) as pieces:
            rows = _rows(pieces, state.position, state.line)
            if state.position == 0:
                header = await anext(rows, None)
                must_be_header(header)
                assert header is not None  # that was refused
                batch.end, batch.line = header.end, header.end_line
            async for row in rows:
                batch.add(row)
                if batch.is_full:
                    await self._write(run, file, batch, last=False)
                    batch = _Batch(batch.end, batch.end, batch.line)
        await self._write(run, file, batch, last=True)

    async def _write(self, run: Run, file: File, batch: _Batch, *, last: bool) -> None:
        """Commit the batch with its position. Raises `Overtaken`, or as `Run.writing` does."""
        now = self.clock.now()
        items = [
            Item(
                title=new.title,
                description=new.description,
                owner_id=run.task.owner_id,
                created_at=now,
                updated_at=now,
            )
            for new in batch.items
        ]
        async with run.writing() as (work, task):
            await work.files.get(file.id)  # its deletion waits for this batch, or was first
            state = await work.imports.get(file.id)
            state.must_stand_at(batch.begins)
            for item in await work.items.add_all(items) if items else ():
                work.announce(ItemCreated(item))
            state.take(created=len(items), errors=batch.errors, position=batch.end, line=batch.line)
            state.finished = last
            await work.imports.save(state)
            task.result = _result(state, _created(task.result) + len(items))
            task.advance(100 * batch.end / max(1, file.size), f"Rows done: {state.created + state.rejected}")
            if last:
                task.complete(task.result, _summary(task.result), self.clock.now())

    async def _conclude(self, run: Run, file: File) -> None:
        """Another task, or an earlier attempt, has taken the last row."""
        async with run.writing() as (work, task):
            state = await work.imports.get(file.id)
            result = _result(state, _created(task.result))
            task.complete(result, _summary(result), self.clock.now())


async def _rows(pieces: AsyncIterator[bytes], position: int, line: int) -> AsyncIterator[CsvRow]:
    reader = CsvReader(position, line)
    async for piece in pieces:
        for start in range(0, len(piece), AT_A_TIME):
            for row in reader.feed(piece[start : start + AT_A_TIME]):
                yield row
            await asyncio.sleep(0)
    for row in reader.close():
        yield row


def _created(result: Mapping[str, Any] | None) -> int:
    """How many items this task has made until now."""
    return int(result["created"]) if result else 0


def _result(state: Import, created: int) -> Mapping[str, Any]:
    errors: Sequence[RowError] = state.errors
    return {
        "created": created,
        "created_by_other_tasks": state.created - created,
        "rejected": state.rejected,
        "errors": [asdict(error) for error in errors],
    }


def _summary(result: Mapping[str, Any]) -> str:
    text = f"Items created: {result['created']}"
    if result["created_by_other_tasks"]:
        text += f"; created from this file before: {result['created_by_other_tasks']}"
    if result["rejected"]:
        text += f"; rows that could not be imported: {result['rejected']}; "
        all_are_told = result["rejected"] == len(result["errors"])
        text += "see `errors` for their lines" if all_are_told else f"`errors` has the lines of the first {MOST_ERRORS}"
    return text


def _file_is_gone(run: Run) -> TaskImpossible:
    """Another task may have imported more of it, so nobody is told to send all the rows after those again."""
    result = run.task.result
    so_far = ""
    if result is not None:
        taken = result["created"] + result["created_by_other_tasks"] + result["rejected"]
        so_far = f", after {taken} of its rows were done"
    text = (
        f"The file was deleted{so_far}. Please upload the rows that are missing and start a new import: whatever is in "
        "another file is created again"
    )
    return TaskImpossible("file_not_found", text)
