"""`GET /users/me` and items written by hand on sqlite3 in threads, each with a connection of its own: one writes."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, FastAPI, HTTPException

from tests.benchmarks.twins import statements as sql
from tests.benchmarks.twins.answers import (
    Item,
    ItemPage,
    Limit,
    NewItem,
    SessionId,
    Skip,
    User,
    page_of,
    refuse_unless_live,
    search_of,
)

T = TypeVar("T")

EVENTS: Final = """CREATE TABLE IF NOT EXISTS twin_events (
    id INTEGER PRIMARY KEY, kind TEXT, item_id INTEGER, owner_id INTEGER, created_at TEXT)"""

app = FastAPI()
readers = ThreadPoolExecutor(4)
writer = ThreadPoolExecutor(1)
local = threading.local()


def connection_of_thread() -> sqlite3.Connection:
    connection: sqlite3.Connection | None = getattr(local, "connection", None)
    if connection is None:
        connection = local.connection = sqlite3.connect(os.environ["DATABASE_FILE"], isolation_level=None, timeout=10)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = FULL")
    return connection


async def read(function: Callable[[sqlite3.Connection], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(readers, lambda: function(connection_of_thread()))


async def write(function: Callable[[sqlite3.Connection], T]) -> T:
    """In a transaction."""

    def change() -> T:
        connection = connection_of_thread()
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            return function(connection)

    return await asyncio.get_running_loop().run_in_executor(writer, change)


async def identified(session_id: SessionId) -> sqlite3.Row:
    """The row of whoever is asking."""
    row: sqlite3.Row | None = await read(
        lambda connection: connection.execute(sql.JOINED + "?", (session_id,)).fetchone()
    )
    if row is None:
        raise HTTPException(401, "Invalid token", {"WWW-Authenticate": "Bearer"})
    refuse_unless_live(datetime.fromisoformat(row["expires_at"]).replace(tzinfo=UTC), bool(row["is_active"]))
    return row


Identified = Annotated[Any, Depends(identified)]


@app.get("/health")
async def health() -> dict[str, str]:
    await write(lambda connection: connection.execute(EVENTS))
    return {"status": "ok"}


@app.get("/api/v1/users/me")
async def get_own_user(user: Identified) -> User:
    return User(**dict(user))


@app.get("/api/v1/items/{item_id}")
async def get_item(item_id: int, user: Identified) -> Item:
    row = await read(lambda connection: connection.execute(sql.BY_KEY + "?", (item_id,)).fetchone())
    if row is None or row["owner_id"] != user["id"]:
        raise HTTPException(404, "Item not found")
    return Item(**dict(row))


@app.get("/api/v1/items/")
async def list_items(user: Identified, skip: Skip = 0, limit: Limit = 10) -> ItemPage:
    def find(connection: sqlite3.Connection) -> tuple[list[sqlite3.Row], int]:
        statement = sql.ITEM + sql.BY_OWNER.format("?", "?", "?")
        rows = connection.execute(statement, (user["id"], limit, skip)).fetchall()
        return rows, connection.execute(sql.COUNT + "?", (user["id"],)).fetchone()[0]

    rows, total = await read(find)
    return page_of([Item(**dict(row)) for row in rows], total, skip, limit)


@app.post("/api/v1/items/", status_code=201)
async def create_item(user: Identified, body: NewItem) -> Item:
    now = datetime.now(UTC)
    moment = now.strftime("%Y-%m-%d %H:%M:%S.%f")
    values = {"title": body.title, "description": body.description, "owner_id": user["id"], "version": 1}

    def add(connection: sqlite3.Connection) -> int:
        inserted = (*values.values(), moment, moment, search_of(body))
        (item_id,) = connection.execute(sql.ADD_ITEM.format("?, ?, ?, ?, ?, ?, ?"), inserted).fetchone()
        connection.execute(sql.ADD_EVENT.format("?, ?, ?, ?"), ("item.created", item_id, user["id"], moment))
        return int(item_id)

    return Item(id=await write(add), created_at=now, updated_at=now, **values)
