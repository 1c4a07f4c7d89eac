import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from application.exports import BYTES_OF_ITEM, PAGE, ExportAccount
from application.files import DeleteFile
from application.ports.clock import Clock
from application.task_runs import TELL_EVERY, RunTask
from application.uploads import Draft, KeepDrafts, StageUpload
from domain.events import TaskUpdated
from domain.files import File
from domain.items import Item
from domain.pages import PageRequest
from domain.tasks import KEPT, Task, TaskKind, TaskStatus
from domain.users import Actor
from tests.builders import QUOTA_BYTES, World, a_job

LEASE = timedelta(minutes=1)


async def an_actor(world: World) -> Actor:
    return Actor(await world.has(full_name="Ada"), "a session")


async def has_file(world: World, actor: Actor, name: str, content: bytes, *, is_export: bool = False) -> File:
    async def whole() -> AsyncIterator[bytes]:
        yield content

    staged = await world.blob_store.stage(whole())
    (file,) = await KeepDrafts(world.keep_staged, world.clock, quota=2**40)(
        actor.user.id, [Draft(name, "text/plain", staged, is_export=is_export)]
    )
    return file


async def has_items(world: World, actor: Actor, titles: Iterable[str]) -> None:
    """Items that were made on New Year's Day and changed just now."""
    made = datetime(2026, 1, 1, tzinfo=UTC)
    items = [
        Item(
            title=title,
            description=f"{title}?",
            owner_id=actor.user.id,
            created_at=made,
            updated_at=world.clock.now(),
        )
        for title in titles
    ]
    async with world.store.begin() as work:
        await work.items.add_all(items)


async def export(world: World, actor: Actor) -> Task:
    task = await world.start_task(actor, TaskKind.EXPORT_ACCOUNT, {})
    await world.do_jobs()
    return await world.store.task(task.id)


async def export_much(world: World, actor: Actor, clock: Clock) -> Task:
    """The task that a worker has done, with a quota that is in nobody's way."""
    stage = StageUpload(world.store, world.blob_store, 2**40)
    keep = KeepDrafts(world.keep_staged, world.clock, quota=2**40)
    handler = ExportAccount(world.store, world.blob_store, stage, keep, clock)
    task = await world.start_task(actor, TaskKind.EXPORT_ACCOUNT, {})
    (job,) = await world.store.jobs.claim("w", limit=0, lease=LEASE, lasting=1)
    await RunTask(world.store.begin, world.store, clock, {TaskKind.EXPORT_ACCOUNT: handler})(job)
    return await world.store.task(task.id)


async def packed(world: World, task: Task) -> zipfile.ZipFile:
    assert task.result is not None
    file = await world.store.file(task.result["file_id"])
    return zipfile.ZipFile(io.BytesIO(world.blob_store.blobs[file.sha256]))


def parsed(archive: zipfile.ZipFile, name: str) -> Any:
    return json.loads(archive.read(name))


async def test_the_zip_holds_the_profile_the_items_and_the_files(world: World) -> None:
    changed, active = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)
    ada = Actor(await world.has(full_name="Ada", updated_at=changed, last_active=active), "a session")
    bob = Actor(await world.has("bob@example.org"), "a session")
    await has_items(world, ada, ["Milk", "Zoë 🥛"])
    await has_items(world, bob, ["Bread"])
    one, two = [await has_file(world, ada, "a.txt", content) for content in (b"one", b"two")]
    await has_file(world, bob, "b.txt", b"three")
    task = await export(world, ada)
    assert (task.status, task.progress) == (TaskStatus.COMPLETED, 100)
    archive = await packed(world, task)
    assert archive.testzip() is None
    assert parsed(archive, "profile.json") == {
        "id": ada.user.id,
        "email": "ada@example.org",
        "full_name": "Ada",
        "is_verified": True,
        "created_at": "2026-01-01T00:00:00+00:00",
        "updated_at": "2026-02-01T00:00:00+00:00",
        "last_active": "2026-02-02T00:00:00+00:00",
    }, "no hash of a password"
    assert parsed(archive, "items.json") == [
        {
            "id": number,
            "title": title,
            "description": f"{title}?",
            "created_at": "2026-01-01T00:00:00+00:00",
            "updated_at": "2026-03-01T12:00:00+00:00",
        }
        for number, title in enumerate(["Milk", "Zoë 🥛"], 1)
    ]
    assert archive.read(f"files/{one.id}-a.txt") == b"one"
    assert archive.read(f"files/{two.id}-a.txt") == b"two"
    assert len(archive.namelist()) == 4


async def test_whoever_opens_the_json_reads_every_script_as_it_was_written(world: World) -> None:
    ada = await an_actor(world)
    await has_items(world, ada, ["Zoë 🥛"])
    archive = await packed(world, await export(world, ada))
    assert '"Zoë 🥛"' in archive.read("items.json").decode()


async def test_however_many_items_there_are_all_of_them_are_in_the_zip(world: World) -> None:
    ada = await an_actor(world)
    titles = [f"Item {number}" for number in range(2 * PAGE + 7)]
    await has_items(world, ada, titles)
    task = await export_much(world, ada, world.clock)
    assert [item["title"] for item in parsed(await packed(world, task), "items.json")] == titles
    assert task.result is not None
    assert task.result["items"] == len(titles)


async def test_the_zip_of_an_empty_account_is_whole(world: World) -> None:
    archive = await packed(world, await export(world, await an_actor(world)))
    assert parsed(archive, "items.json") == []
    assert archive.namelist() == ["profile.json", "items.json"]


async def test_the_zip_is_a_file_of_its_owner(world: World) -> None:
    ada = await an_actor(world)
    await has_items(world, ada, ["Milk", "Bread"])
    await has_file(world, ada, "a.txt", b"one")
    task = await export(world, ada)
    file, _ = (await world.store.files(ada.user.id, PageRequest())).items
    assert (file.filename, file.content_type) == ("account-2026-03-01.zip", "application/zip")
    assert task.result == {"file_id": file.id, "size": file.size, "items": 2, "files": 1}
    assert task.message == "Your account is in the file account-2026-03-01.zip"


async def test_an_export_holds_no_earlier_one(world: World) -> None:
    ada = await an_actor(world)
    await export(world, ada)
    archive = await packed(world, await export(world, ada))
    assert archive.namelist() == ["profile.json", "items.json"]


async def test_progress_is_of_what_is_packed_and_earlier_exports_are_not(world: World) -> None:
    class SlowClock:
        """Each look at it takes longer than telling the progress has to wait."""

        def now(self) -> datetime:
            world.clock.advance(2 * TELL_EVERY)
            return world.clock.now()

    ada = await an_actor(world)
    await has_items(world, ada, map(str, range(600)))
    for name in ("a.txt", "b.txt", "c.txt"):
        await has_file(world, ada, name, bytes(200 * BYTES_OF_ITEM))
    await has_file(world, ada, "account.zip", bytes(3_000_000), is_export=True)
    await export_much(world, ada, SlowClock())

    tasks = [event.task for event in world.store.announced if isinstance(event, TaskUpdated)]
    waiting, begun, *packing_items = [(task.progress, task.message) for task in tasks[:-5]]
    assert waiting == begun == (0, None)
    assert packing_items
    for progress, message in packing_items:
        count, _, rest = (message or "").removeprefix("Items packed: ").partition("; ")
        assert (progress, rest) == (50 * int(count) // 600, "files packed: 0")
    assert [(task.progress, task.message) for task in tasks[-5:]] == [
        (50, "Items packed: 600; files packed: 0"),
        (66, "Items packed: 600; files packed: 0"),
        (83, "Items packed: 600; files packed: 1"),
        (99, "Items packed: 600; files packed: 2"),
        (100, "Your account is in the file account-2026-03-01.zip"),
    ]


async def test_an_export_holds_no_earlier_one_whose_task_is_forgotten(world: World) -> None:
    ada = await an_actor(world)
    await export(world, ada)
    await has_file(world, ada, "account-2026-03-01.zip", b"of her own making")
    world.clock.advance(KEPT + timedelta(days=1))
    await world.handlers["sweep_expired"](a_job())
    assert (await world.store.tasks(ada.user.id, PageRequest())).items == []
    archive = await packed(world, await export(world, ada))
    assert [name.partition("-")[2] for name in archive.namelist()[2:]] == ["account-2026-03-01.zip"]


async def test_a_file_that_is_deleted_before_its_turn_is_left_out(world: World) -> None:
    ada = await an_actor(world)
    kept, gone = [await has_file(world, ada, "a.txt", content) for content in (b"kept", b"gone")]
    del world.blob_store.blobs[gone.sha256]
    archive = await packed(world, await export(world, ada))
    assert archive.namelist() == ["profile.json", "items.json", f"files/{kept.id}-a.txt"]


async def test_without_room_for_it_the_task_fails_with_what_to_do(world: World) -> None:
    ada = await an_actor(world)
    await has_file(world, ada, "a.txt", bytes(QUOTA_BYTES))
    world.blob_store.capacity = QUOTA_BYTES  # nothing is even begun in vain
    task = await export(world, ada)
    assert (task.status, task.error) == (TaskStatus.FAILED, "quota_exceeded")
    assert "Delete some files" in (task.message or "")
    assert world.blob_store.staged == {}


async def test_an_export_whose_workers_die_makes_one_file(world: World) -> None:
    import asyncio

    ada = await an_actor(world)
    await has_file(world, ada, "a.txt", b"one")
    task = await world.start_task(ada, TaskKind.EXPORT_ACCOUNT, {})
    for steps in range(0, 90, 11):
        for job in await world.store.jobs.claim("w", limit=0, lease=LEASE, lasting=1):
            if job.attempt > 9:
                break
            dying = asyncio.ensure_future(world.run_task(job))
            for _ in range(steps):
                await asyncio.sleep(0)
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
        world.store.jobs.advance(LEASE)
    await world.do_jobs()
    assert (await world.store.task(task.id)).status is TaskStatus.COMPLETED
    files = (await world.store.files(ada.user.id, PageRequest())).items
    assert len(files) == 2
    assert world.blob_store.staged == {}
    assert set(world.blob_store.blobs) == {file.sha256 for file in files}


async def test_what_is_cancelled_at_the_last_moment_leaves_no_file(world: World) -> None:
    ada = await an_actor(world)
    task = await world.start_task(ada, TaskKind.EXPORT_ACCOUNT, {})

    class Cancelled(KeepDrafts):
        async def __call__(self, *arguments: Any, **named: Any) -> Any:
            async with world.store.begin() as work:
                cancelled = await work.tasks.get(task.id)
                cancelled.cancel(world.clock.now())
                await work.tasks.save(cancelled)
            return await super().__call__(*arguments, **named)

    keep = Cancelled(world.keep_staged, world.clock, quota=2**40)
    stage = StageUpload(world.store, world.blob_store, 2**40)
    handler = ExportAccount(world.store, world.blob_store, stage, keep, world.clock)
    (job,) = await world.store.jobs.claim("w", limit=0, lease=LEASE, lasting=1)
    await RunTask(world.store.begin, world.store, world.clock, {TaskKind.EXPORT_ACCOUNT: handler})(job)
    await world.store.jobs.finish(job)
    await world.do_jobs()
    assert (await world.store.task(task.id)).status is TaskStatus.CANCELLED
    assert (await world.store.files(ada.user.id, PageRequest())).items == []
    assert world.blob_store.blobs == {}


async def test_deleting_the_export_deletes_its_bytes(world: World) -> None:
    ada = await an_actor(world)
    task = await export(world, ada)
    assert task.result is not None
    await DeleteFile(world.store.begin)(ada, task.result["file_id"])
    await world.do_jobs()
    assert world.blob_store.blobs == {}
