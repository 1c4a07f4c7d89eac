from application.changes import BATCH, CHANNELS, change_of
from application.ports.realtime import NewChange
from domain.events import FileCreated, FileDeleted, ItemCreated, ItemDeleted, ItemUpdated, TaskUpdated, UserPinged
from domain.files import File, FileId
from domain.items import Item, ItemId
from domain.tasks import Task, TaskId, TaskKind
from domain.users import UserId
from tests.builders import World, a_job
from tests.fakes.changes import show


def test_what_happens_to_an_item_is_shown_to_its_owner(world: World) -> None:
    now = world.clock.now()
    item = Item(id=ItemId(7), title="Milk", owner_id=UserId(1), created_at=now, updated_at=now)
    changes = [change_of(event, show) for event in (ItemCreated(item), ItemUpdated(item), ItemDeleted(7, 1))]
    told = [(change.user_id, change.channel, change.event, change.data) for change in changes if change]
    assert told == [(1, "items", f"item.{what}", '{"id": 7}') for what in ("created", "updated", "deleted")]
    assert {change.channel for change in changes if change} <= set(CHANNELS)


def test_what_happens_to_a_file_or_a_task_is_shown_to_its_owner(world: World) -> None:
    owner, now = UserId(1), world.clock.now()
    file = File(
        id=FileId(7), filename="a", content_type="text/plain", size=1, sha256="0", owner_id=owner, created_at=now
    )
    task = Task(id=TaskId("7"), owner_id=owner, kind=TaskKind.EXPORT_ACCOUNT, created_at=now)
    changes = [change_of(event, show) for event in (FileCreated(file), FileDeleted(7, 1, "0"), TaskUpdated(task))]
    assert changes == [
        NewChange(1, "files", "file.created", show(file)),
        NewChange(1, "files", "file.deleted", '{"id": 7}'),
        NewChange(1, "tasks", "task.updated", show(task)),
    ]
    assert {change.channel for change in changes if change} <= set(CHANNELS)


def test_what_concerns_no_thing_is_shown_to_nobody() -> None:
    assert change_of(UserPinged(1, "2026-01-01T00:00:00Z"), show) is None


async def test_the_changes_of_a_deleted_user_are_removed_however_many(world: World) -> None:
    async with world.store.begin() as work:
        for number in range(BATCH + 1):
            work.announce(ItemDeleted(number, 1))
        work.announce(ItemDeleted(7, 2))
    await world.handlers["remove_changes_of_user"](a_job(user_id=1))
    assert await world.store.last_change(1) == 0
    assert await world.store.last_change(2) > 0


async def test_a_change_is_shown_as_it_was_when_it_was_announced(world: World) -> None:
    now = world.clock.now()
    item = Item(id=ItemId(7), title="Milk", owner_id=UserId(1), created_at=now, updated_at=now)
    async with world.store.begin() as work:
        work.announce(ItemCreated(item))
        item.id = ItemId(8)
    (change,) = await world.store.changes_after({1: 0}, limit=10)
    assert change.data == '{"id": 7}'
