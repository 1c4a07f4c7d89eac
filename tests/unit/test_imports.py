import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from application.files import DeleteFile
from application.imports import AT_A_TIME, BATCH_ROWS, ImportItems
from application.task_runs import RunTask
from application.uploads import Draft, KeepDrafts
from domain.events import ItemCreated
from domain.files import File
from domain.imports import MOST_ERRORS, Import
from domain.items import Item, ItemSort
from domain.pages import PageRequest
from domain.tasks import Task, TaskKind, TaskStatus
from domain.users import Actor
from tests.builders import World

HEADER = "title,description\n"
LEASE = timedelta(minutes=1)


async def an_actor(world: World) -> Actor:
    return Actor(await world.has(), "a session")


async def has_file(world: World, actor: Actor, content: str) -> File:
    async def whole() -> AsyncIterator[bytes]:
        yield content.encode()

    staged = await world.blob_store.stage(whole())
    keep = KeepDrafts(world.keep_staged, world.clock, quota=2**40)
    (file,) = await keep(actor.user.id, [Draft("items.csv", "text/csv", staged)])
    return file


async def start(world: World, actor: Actor, file: File) -> Task:
    return await world.start_task(actor, TaskKind.IMPORT_ITEMS, {"file_id": file.id})


async def imported(world: World, content: str) -> tuple[Actor, Task]:
    """The task that a worker has done for this file."""
    ada = await an_actor(world)
    task = await start(world, ada, await has_file(world, ada, content))
    await world.do_jobs()
    return ada, await world.store.task(task.id)


async def items(world: World, actor: Actor) -> Sequence[Item]:
    """All that there are."""
    request = PageRequest(limit=100_000)
    return (await world.store.items(actor.user.id, request, sort=ItemSort.OLDEST, words=())).items


async def titles(world: World, actor: Actor) -> list[str]:
    return [item.title for item in await items(world, actor)]


async def has_been_cancelled_on_the_way(world: World, actor: Actor, task: Task) -> None:
    """A worker took up this task, the only one that waits, and it was cancelled after a batch or two."""
    import_items = ImportItems(world.store, world.blob_store, world.clock)
    (job,) = await world.store.jobs.claim("w", limit=0, lease=LEASE, lasting=1)

    async def cancel_after_a_batch(run: Any) -> None:
        import_task = asyncio.create_task(import_items(run))
        while not await items(world, actor):  # noqa: ASYNC110 - what is waited for is a commit
            await asyncio.sleep(0)
        async with world.store.begin() as work:
            cancelled = await work.tasks.get(task.id)
            cancelled.cancel(world.clock.now())
            await work.tasks.save(cancelled)
        await import_task

    await RunTask(world.store.begin, world.store, world.clock, {TaskKind.IMPORT_ITEMS: cancel_after_a_batch})(job)
    await world.store.jobs.finish(job)


async def has_died_on_the_way(world: World, actor: Actor) -> None:
    """A worker took up the only task that waits, and died after a batch or two: another can do so in a `LEASE`."""
    (job,) = await world.store.jobs.claim("w", limit=0, lease=LEASE, lasting=1)
    dying = asyncio.ensure_future(world.run_task(job))
    while not await items(world, actor):  # noqa: ASYNC110 - what is waited for is a commit
        await asyncio.sleep(0)
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying


def result_of(task: Task) -> dict[str, Any]:
    assert task.result is not None
    return dict(task.result)


async def test_each_good_row_becomes_an_item_and_each_bad_one_is_named_by_its_line(world: World) -> None:
    content = (
        HEADER + 'Milk,Two litres\n"Bread\nand butter",\n,no title\nTea\nCheese,"A ""good"" one"\n' + "x" * 256 + ",\n"
    )
    ada, task = await imported(world, content)
    now = world.clock.now()
    assert [(item.title, item.description, item.created_at, item.updated_at) for item in await items(world, ada)] == [
        ("Milk", "Two litres", now, now),
        ("Bread\nand butter", None, now, now),
        ("Cheese", 'A "good" one', now, now),
    ]
    assert (task.status, task.progress, task.error) == (TaskStatus.COMPLETED, 100, None)
    assert result_of(task) == {
        "created": 3,
        "created_by_other_tasks": 0,
        "rejected": 3,
        "errors": [
            {"line": 5, "reason": "A title must be 1 to 255 characters long and not blank"},
            {"line": 6, "reason": "There must be 2 columns, title and description"},
            {"line": 8, "reason": "A title must be 1 to 255 characters long and not blank"},
        ],
    }
    assert sum(isinstance(event, ItemCreated) for event in world.store.announced) == 3


async def test_the_errors_that_are_shown_are_bounded_and_all_are_counted(world: World) -> None:
    _, task = await imported(world, HEADER + "bad\n" * (MOST_ERRORS + 50))
    assert (result_of(task)["rejected"], len(result_of(task)["errors"])) == (MOST_ERRORS + 50, MOST_ERRORS)
    assert task.message == (
        "Items created: 0; rows that could not be imported: 150; `errors` has the lines of the first 100"
    )


async def test_the_progress_is_how_much_of_the_file_is_done(world: World) -> None:
    ada = await an_actor(world)
    begin, row = HEADER + "bad\n", "Milk,\n"
    content = begin + row * (6 * BATCH_ROWS)
    task = await start(world, ada, await has_file(world, ada, content))
    await has_died_on_the_way(world, ada)
    made, task = len(await items(world, ada)), await world.store.task(task.id)
    assert 0 < made < 6 * BATCH_ROWS
    done = len(begin) + made * len(row)
    assert (task.progress, task.message) == (100 * done // len(content), f"Rows done: {made + 1}")


async def test_whoever_goes_on_names_the_lines_as_they_are_in_the_file(world: World) -> None:
    ada = await an_actor(world)
    count = 6 * BATCH_ROWS
    file = await has_file(world, ada, HEADER + "Milk,\n" * count + "bad\n")
    await has_been_cancelled_on_the_way(world, ada, await start(world, ada, file))
    task = await start(world, ada, file)
    await world.do_jobs()
    assert [error["line"] for error in result_of(await world.store.task(task.id))["errors"]] == [count + 2]


async def test_errors_that_are_all_shown_are_said_to_be_so(world: World) -> None:
    _, task = await imported(world, HEADER + "bad\n" * MOST_ERRORS)
    assert task.message == "Items created: 0; rows that could not be imported: 100; see `errors` for their lines"


async def test_a_file_with_another_header_is_refused_with_what_to_do(world: World) -> None:
    for content in ("", "name,text\nMilk,\n", "title\nMilk\n", "Milk,Two litres\n", '"title,description\n'):
        ada, task = await imported(World(), content)
        assert (task.status, task.error) == (TaskStatus.FAILED, "wrong_header")
        assert "title,description" in (task.message or "")
    ada, task = await imported(world, "\ufeffTitle, DESCRIPTION \r\nMilk,\r\n")
    assert (task.status, await titles(world, ada)) == (TaskStatus.COMPLETED, ["Milk"])


async def test_a_file_with_a_header_alone_makes_nothing(world: World) -> None:
    _, task = await imported(world, "title,description")
    assert (task.status, result_of(task)["created"]) == (TaskStatus.COMPLETED, 0)


async def test_others_have_their_turn_while_a_piece_makes_no_row(world: World) -> None:
    ada = await an_actor(world)
    task = await start(world, ada, await has_file(world, ada, HEADER + "\n" * (40 * AT_A_TIME)))
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while not (await world.store.task(task.id)).has_ended:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(world.do_jobs(), take_turns())
    assert turns > 20


async def test_a_file_that_was_deleted_is_missed_with_what_to_do(world: World) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada, HEADER + "Milk,\n")
    task = await start(world, ada, file)
    await DeleteFile(world.store.begin)(ada, file.id)
    await world.do_jobs()
    failed = await world.store.task(task.id)
    assert (failed.status, failed.error) == (TaskStatus.FAILED, "file_not_found")
    assert failed.message == (
        "The file was deleted. Please upload the rows that are missing and start a new import: whatever is in another "
        "file is created again"
    )


async def test_a_file_that_is_deleted_on_the_way_is_missed_with_how_far_it_was_imported(world: World) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada, HEADER + "Milk,\nbad\n" * (6 * BATCH_ROWS))
    await has_been_cancelled_on_the_way(world, ada, await start(world, ada, file))
    made_before = len(await items(world, ada))
    task = await start(world, ada, file)

    async def delete_it_on_the_way() -> None:
        while len(await items(world, ada)) == made_before:  # noqa: ASYNC110 - what is waited for is a commit
            await asyncio.sleep(0)
        await DeleteFile(world.store.begin)(ada, file.id)

    await asyncio.gather(delete_it_on_the_way(), world.do_jobs())
    failed = await world.store.task(task.id)
    made = len(await items(world, ada))
    assert (failed.status, failed.error) == (TaskStatus.FAILED, "file_not_found")
    assert 0 < made_before < made < 6 * BATCH_ROWS
    assert failed.message == (
        f"The file was deleted, after {2 * made} of its rows were done. Please upload the rows that are missing and "
        "start a new import: whatever is in another file is created again"
    )


async def test_an_import_started_twice_makes_each_item_once(world: World) -> None:
    ada = await an_actor(world)
    count = 3 * BATCH_ROWS + 7
    file = await has_file(world, ada, HEADER + "".join(f"{n},\n" for n in range(count)))
    tasks = [await start(world, ada, file) for _ in range(3)]
    await world.do_jobs()
    tasks.append(await start(world, ada, file))
    await world.do_jobs()
    assert await titles(world, ada) == [str(n) for n in range(count)]
    done = [await world.store.task(task.id) for task in tasks]
    assert [task.status for task in done] == [TaskStatus.COMPLETED] * 4
    assert sum(result_of(task)["created"] for task in done) == count
    last = result_of(done[-1])
    assert (last["created"], last["created_by_other_tasks"]) == (0, count)
    assert done[-1].message == f"Items created: 0; created from this file before: {count}"


async def test_what_was_cancelled_goes_on_where_it_was_when_it_is_started_again(world: World) -> None:
    ada = await an_actor(world)
    rows = [f"{n},\n" for n in range(4 * BATCH_ROWS)]
    file = await has_file(world, ada, HEADER + "".join(rows))
    task = await start(world, ada, file)
    await has_been_cancelled_on_the_way(world, ada, task)
    created = len(await titles(world, ada))
    assert BATCH_ROWS <= created < len(rows)
    cancelled = await world.store.task(task.id)
    assert (cancelled.status, result_of(cancelled)["created"]) == (TaskStatus.CANCELLED, created)
    position = len(HEADER + "".join(rows[:created]))
    assert await world.store.import_of(file.id) == Import(
        file_id=file.id, position=position, line=created + 2, created=created
    )
    again = await start(world, ada, file)
    await world.do_jobs()
    assert result_of(await world.store.task(again.id))["created"] == len(rows) - created
    assert len(await titles(world, ada)) == len(rows)


async def test_a_task_counts_what_it_has_created_itself_when_another_has_created_the_rest(world: World) -> None:
    ada = await an_actor(world)
    count = 4 * BATCH_ROWS
    file = await has_file(world, ada, HEADER + "Milk,\n" * count)
    task = await start(world, ada, file)
    await has_died_on_the_way(world, ada)
    created = len(await items(world, ada))
    assert 0 < created < count
    await start(world, ada, file)
    (job,) = await world.store.jobs.claim("another worker", limit=0, lease=LEASE, lasting=1)
    await world.run_task(job)
    await world.store.jobs.finish(job)
    world.store.jobs.advance(LEASE)
    await world.do_jobs()
    done = await world.store.task(task.id)
    assert (done.status, done.attempts) == (TaskStatus.COMPLETED, 2)
    assert (result_of(done)["created"], result_of(done)["created_by_other_tasks"]) == (created, count - created)
    assert done.message == f"Items created: {created}; created from this file before: {count - created}"


async def test_an_import_that_ended_right_after_the_last_row_is_finished_by_the_next(world: World) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada, HEADER + "Milk,\n")
    taken = Import(file_id=file.id, position=file.size, line=3, created=1)
    async with world.store.begin() as work:
        await work.imports.save(taken)
    task = await start(world, ada, file)
    await world.do_jobs()
    assert (await world.store.task(task.id)).status is TaskStatus.COMPLETED
    assert await world.store.import_of(file.id) == replace(taken, finished=True)


@given(st.lists(st.integers(0, 120), max_size=12))
async def test_whenever_its_workers_die_each_good_row_is_there_once(steps: list[int]) -> None:
    world = World()
    ada = await an_actor(world)
    rows = "".join(f"{n},x\n,bad\n" for n in range(2 * BATCH_ROWS))
    file = await has_file(world, ada, HEADER + rows)
    task = await start(world, ada, file)
    seen = [0]
    for number, step in enumerate(steps):
        if claimed := await world.store.jobs.claim(f"worker {number}", limit=0, lease=LEASE, lasting=1):
            dying = asyncio.ensure_future(world.run_task(claimed[0]))
            for _ in range(step):
                await asyncio.sleep(0)
            dying.cancel()
            with suppress(asyncio.CancelledError):
                await dying
            seen.append((await world.store.task(task.id)).progress)
        world.store.jobs.advance(LEASE)
    if len(steps) < 10:
        await world.do_jobs()
        done = await world.store.task(task.id)
        assert (done.status, result_of(done)["created"]) == (TaskStatus.COMPLETED, 2 * BATCH_ROWS)
        assert result_of(done)["rejected"] == 2 * BATCH_ROWS
        assert await titles(world, ada) == [str(n) for n in range(2 * BATCH_ROWS)]
        state = await world.store.import_of(file.id)
        assert (state.finished, state.position, state.line) == (True, file.size, 4 * BATCH_ROWS + 2)
    assert seen == sorted(seen)
