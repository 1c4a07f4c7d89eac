import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
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
from domain.imports import MOST_ERRORS
from domain.items import ItemSort
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


async def titles(world: World, actor: Actor) -> list[str]:
    found, after = list[str](), None
    while True:
        request = PageRequest(limit=1000, after=after)
        page = await world.store.items(actor.user.id, request, sort=ItemSort.OLDEST, words=())
        found += [item.title for item in page.items]
        after = page.next_key
        if after is None:
            return found


def result_of(task: Task) -> dict[str, Any]:
    assert task.result is not None
    return dict(task.result)


async def test_each_good_row_becomes_an_item_and_each_bad_one_is_named_by_its_line(world: World) -> None:
    content = (
        HEADER + 'Milk,Two litres\n"Bread\nand butter",\n,no title\nTea\nCheese,"A ""good"" one"\n' + "x" * 256 + ",\n"
    )
    ada, task = await imported(world, content)
    assert await titles(world, ada) == ["Milk", "Bread\nand butter", "Cheese"]
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


async def test_a_description_may_be_empty(world: World) -> None:
    ada, _ = await imported(world, HEADER + "Milk,\n")
    (item,) = (await world.store.items(ada.user.id, PageRequest(), sort=ItemSort.OLDEST, words=())).items
    assert item.description is None


async def test_the_errors_that_are_shown_are_bounded_and_all_are_counted(world: World) -> None:
    _, task = await imported(world, HEADER + "bad\n" * (MOST_ERRORS + 50))
    assert (result_of(task)["rejected"], len(result_of(task)["errors"])) == (MOST_ERRORS + 50, MOST_ERRORS)
    assert task.message == (
        "0 items were created; 150 rows could not be imported: `errors` has the lines of the first 100"
    )


async def test_errors_that_are_all_shown_are_said_to_be_so(world: World) -> None:
    _, task = await imported(world, HEADER + "bad\n" * MOST_ERRORS)
    assert task.message == "0 items were created; 100 rows could not be imported: see `errors` for their lines"


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
    assert "upload it again" in (failed.message or "")


async def test_a_file_that_is_deleted_on_the_way_is_missed_with_how_far_it_was_imported(world: World) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada, HEADER + "Milk,\nbad\n" * (4 * BATCH_ROWS))
    task = await start(world, ada, file)

    async def delete_it_on_the_way() -> None:
        while not await titles(world, ada):  # noqa: ASYNC110 - what is waited for is a commit
            await asyncio.sleep(0)
        await DeleteFile(world.store.begin)(ada, file.id)

    await asyncio.gather(delete_it_on_the_way(), world.do_jobs())
    failed = await world.store.task(task.id)
    made = len(await titles(world, ada))
    assert (failed.status, failed.error) == (TaskStatus.FAILED, "file_not_found")
    assert 0 < made < 4 * BATCH_ROWS
    assert (failed.message or "").startswith(f"The file was deleted, after {2 * made} of its rows were done. Please")


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


async def test_what_was_cancelled_goes_on_where_it_was_when_it_is_started_again(world: World) -> None:
    ada = await an_actor(world)
    count = 3 * BATCH_ROWS
    file = await has_file(world, ada, HEADER + "".join(f"{n},\n" for n in range(count)))
    task = await start(world, ada, file)
    import_items = ImportItems(world.store, world.blob_store, world.clock)
    (job,) = await world.store.jobs.claim("w", limit=0, lease=LEASE, lasting=1)

    async def cancel_after_a_batch(run: Any) -> None:
        import_task = asyncio.create_task(import_items(run))
        while not await titles(world, ada):  # noqa: ASYNC110 - what is waited for is a commit
            await asyncio.sleep(0)
        async with world.store.begin() as work:
            cancelled = await work.tasks.get(task.id)
            cancelled.cancel(world.clock.now())
            await work.tasks.save(cancelled)
        await import_task

    await RunTask(world.store.begin, world.store, world.clock, {TaskKind.IMPORT_ITEMS: cancel_after_a_batch})(job)
    await world.store.jobs.finish(job)
    created = len(await titles(world, ada))
    assert BATCH_ROWS <= created < count
    cancelled = await world.store.task(task.id)
    assert (cancelled.status, result_of(cancelled)["created"]) == (TaskStatus.CANCELLED, created)
    again = await start(world, ada, file)
    await world.do_jobs()
    assert result_of(await world.store.task(again.id))["created"] == count - created
    assert len(await titles(world, ada)) == count


@given(st.lists(st.integers(0, 120), max_size=12))
async def test_whenever_its_workers_die_each_good_row_is_there_once(steps: list[int]) -> None:
    world = World()
    ada = await an_actor(world)
    rows = "".join(f"{n},x\n,bad\n" for n in range(2 * BATCH_ROWS))
    task = await start(world, ada, await has_file(world, ada, HEADER + rows))
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
    assert seen == sorted(seen)
