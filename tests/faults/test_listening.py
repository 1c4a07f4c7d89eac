"""What follows the changes in the tests of faults: it finds what is wrong, and nothing else."""

from typing import Any

import pytest

from tests.faults.listening import Copy, Follower

Event = tuple[str, int, int]
"""What happened, to which item, and which version that made."""


def an_item(item_id: int, version: int) -> dict[str, Any]:
    return {"id": item_id, "version": version}


async def followed(fetched: list[dict[str, Any]], *events: Event) -> Copy:
    """What somebody knows of the items who knew no event to go on from, and is told of these."""

    async def fetch(path: str) -> list[dict[str, Any]]:
        assert path == "/items/"
        return fetched

    follower = Follower("http://nowhere", lambda: "", fetch)
    await follower._told({"event": "subscribed", "channel": "items"})
    for number, (event, item_id, version) in enumerate(events):
        item = {"id": item_id} if event == "item.deleted" else an_item(item_id, version)
        await follower._told({"event": event, "channel": "items", "id": f"{number:04}", "data": item})
    return follower.copies["items"]


@pytest.mark.parametrize(
    ("events", "items"),
    [
        ([("item.created", 1, 1), ("item.updated", 1, 2)], [(1, 2)]),
        ([("item.updated", 1, 2), ("item.updated", 1, 3)], [(1, 3)]),
        ([("item.deleted", 9, 0), ("item.updated", 1, 2)], [(1, 2)]),
        ([("item.created", 9, 1), ("item.updated", 9, 2), ("item.deleted", 9, 0)], [(1, 2)]),
        ([("item.updated", 9, 2), ("item.deleted", 9, 0), ("item.updated", 1, 3)], [(1, 3)]),
        ([("item.created", 2, 1), ("item.deleted", 1, 0)], [(2, 1)]),
    ],
)
async def test_what_happened_before_the_items_were_fetched_is_nothing_new(
    events: list[Event], items: list[tuple[int, int]]
) -> None:
    copy = await followed([an_item(1, 2)], *events)

    assert copy.wrong == []
    assert copy.things == {item_id: an_item(item_id, version) for item_id, version in items}


@pytest.mark.parametrize(
    "events",
    [
        [("item.updated", 1, 4)],
        [("item.created", 1, 2), ("item.updated", 1, 2)],
        [("item.updated", 1, 3), ("item.updated", 1, 2)],
        [("item.updated", 1, 3), ("item.deleted", 9, 0)],
        [("item.updated", 1, 3), ("item.updated", 9, 2)],
        [("item.created", 2, 1), ("item.created", 2, 1)],
        [("item.created", 2, 1), ("item.updated", 2, 3)],
        [("item.deleted", 1, 0), ("item.deleted", 1, 0)],
    ],
)
async def test_what_can_not_have_happened_is_found(events: list[Event]) -> None:
    assert (await followed([an_item(1, 2)], *events)).wrong
