"""How the databases find the rows of a list: along an index, from where the page begins, sorting no more than pages."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from adapters.persistence import blobs, files, postgres, sqlite, sqlite_file, tasks, thumbnails
from adapters.persistence.changes import AFTER, IN_CHANNEL, LAST, WITH_NEWS
from adapters.persistence.items import page_statements
from adapters.persistence.sessions import OF_USER
from adapters.persistence.statements import Statement, prepare
from adapters.persistence.users import newest_users
from domain.items import ItemSort

PAGES: Final = (
    {
        f"items by {sort.value}, {words} words, {part}": (page_statements(sort, words)[n], sort.field)
        for sort in ItemSort
        for words in (0, 2)
        for n, part in enumerate(("at an offset", "after a key"))
    }
    | {f"users, {words} words, after a key": (newest_users(words, words > 0).after_key, "id") for words in (0, 2)}
    | {
        "files, at an offset": (files.NEWEST.at_offset, "id"),
        "files, after a key": (files.NEWEST.after_key, "id"),
        "tasks, at an offset": (tasks.NEWEST.at_offset, "number"),
        "tasks, after a key": (tasks.NEWEST.after_key, "number"),
    }
)
"""Users at an offset are missing: the list is of all there are, for superusers, and its total counts all of them."""
CHANGES: Final = {
    "changes in a channel": (IN_CHANNEL, ""),
    "the last change": (LAST, ""),
    "changes": (AFTER, ""),
    "who has news": (WITH_NEWS, ""),
}
UNSORTED: Final = {
    f"items counted, {words} words": (page_statements(ItemSort.NEWEST, words)[2], "") for words in (0, 2)
} | {
    "sessions": (OF_USER, ""),
    "tasks that ended long ago": (tasks.SWEEP, ""),
    "tasks that no job will do": (tasks.FORSAKEN, ""),
    "files counted": (files.NEWEST.count, ""),
    "tasks counted": (tasks.NEWEST.count, ""),
    "tasks that have not ended": (tasks.UNFINISHED_OF, ""),
    "files summed": (files.USED, ""),
    "files of a name": (files.NEWEST_NAMED, ""),
    "thumbnails found": (thumbnails.FIND, ""),
    "bytes used": (blobs.IS_USED, ""),
    "bytes unused": (blobs.UNUSED, "sha256"),
}
"""Found along an index, too, but in no order."""
LISTS: Final = PAGES | UNSORTED | CHANGES

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
FIRST_KEYS: Final[dict[str, Any]] = {"title": "m", "sha256": "m", "created_at": NOW, "updated_at": NOW}


def values_for(key: str) -> dict[str, Any]:
    """Something for every parameter there is."""
    words = {f"word{n}": "%x%" for n in range(2)}
    page = {"owner_id": 1, "user_id": 1, "is_active": True, "limit": 11, "skip": 0}
    bytes_ = {"filename": "m", "hash": "m", "claimed": NOW, "of": "m", "within": 64, "before": NOW, "but": ""}
    return (
        words
        | page
        | bytes_
        | {"positions": "[]", "channel": "items"}
        | {"after": FIRST_KEYS.get(key, 7), "after_id": 7, "now": NOW}
    )


def plan_in_sqlite(path: Path, statement: Statement, key: str) -> str:
    prepared = prepare(statement, sqlite.DIALECT)
    connection = sqlite_file.connect(path)
    try:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", prepared.bind(values_for(key))).fetchall()
    finally:
        connection.close()
    return "\n".join(row[-1] for row in rows)


async def plan_in_postgres(url: str, statement: Statement, key: str) -> str:
    """The plan where a scan of the whole table and a sort are the last resort, as they are once a table is large."""
    prepared = prepare(statement, postgres.DIALECT)
    connection = await asyncpg.connect(url, server_settings={"enable_seqscan": "off", "enable_sort": "off"})
    try:
        rows = await connection.fetch(f"EXPLAIN {prepared.sql}", *prepared.bind(values_for(key)))
    finally:
        await connection.close()
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("name", LISTS)
def test_no_list_scans_a_table_in_sqlite(sqlite_url: str, name: str) -> None:
    plan = plan_in_sqlite(Path(sqlite_url.removeprefix("sqlite:///")), *LISTS[name])
    assert "SEARCH" in plan
    assert not re.search("SCAN (items|users|sessions|files|tasks|changes)", plan)
    assert "at an offset" not in name or "TEMP B-TREE" not in plan


@pytest.mark.parametrize("name", LISTS)
async def test_no_list_scans_a_table_in_postgresql(migrated_postgres_url: str, name: str) -> None:
    plan = await plan_in_postgres(migrated_postgres_url, *LISTS[name])
    assert "Index Cond" in plan
    assert "Seq Scan" not in plan
    assert "at an offset" not in name or "Sort  (" not in plan


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith("after a key")])
async def test_a_page_after_a_key_begins_at_that_key(sqlite_url: str, migrated_postgres_url: str, name: str) -> None:
    statement, key = PAGES[name]
    in_sqlite = plan_in_sqlite(Path(sqlite_url.removeprefix("sqlite:///")), statement, key)
    in_postgres = (await plan_in_postgres(migrated_postgres_url, statement, key)).replace("(title)::text", "title")
    if key in ("id", "number"):
        assert re.search(rf"\((owner_id=\? AND {key}|rowid)<\?\)", in_sqlite)
        assert re.search(rf"Index Cond: \((\(owner_id = .*\) AND \()?{key} < ", in_postgres)
        return
    assert in_postgres.count("Limit  (") == 1 + in_sqlite.count("CO-ROUTINE") == 3, (
        "what is sorted is two pages at most"
    )
    assert re.search(rf"\(owner_id=\? AND {key}=\? AND id[<>]\?\)", in_sqlite)
    assert re.search(rf"\(owner_id=\? AND {key}[<>]\?\)", in_sqlite)
    assert re.search(rf"Index Cond: \(\(owner_id = .*\) AND \({key} = .*\) AND \(id [<>] .*\)\)", in_postgres)
    assert re.search(rf"Index Cond: \(\(owner_id = [^(]*\) AND \({key} [<>] .*\)\)", in_postgres)
