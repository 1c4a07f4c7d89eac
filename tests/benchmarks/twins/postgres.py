"""`GET /users/me` and items written by hand on asyncpg's pool."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Request

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

EVENTS: Final = """CREATE TABLE IF NOT EXISTS twin_events (
    id BIGSERIAL PRIMARY KEY, kind TEXT, item_id BIGINT, owner_id BIGINT, created_at TIMESTAMPTZ)"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as pool:
        await pool.execute(EVENTS)
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def identified(request: Request, session_id: SessionId) -> Any:
    """The row of whoever is asking."""
    row = await request.app.state.pool.fetchrow(sql.JOINED + "$1", session_id)
    if row is None:
        raise HTTPException(401, "Invalid token", {"WWW-Authenticate": "Bearer"})
    refuse_unless_live(row["expires_at"], row["is_active"])
    return row


Identified = Annotated[Any, Depends(identified)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/api/v1/users/me")
async def get_own_user(user: Identified) -> User:
    return User(**user)


@app.get("/api/v1/items/{item_id}")
async def get_item(request: Request, item_id: int, user: Identified) -> Item:
    row = await request.app.state.pool.fetchrow(sql.BY_KEY + "$1", item_id)
    if row is None or row["owner_id"] != user["id"]:
        raise HTTPException(404, "Item not found")
    return Item(**row)


@app.get("/api/v1/items/")
async def list_items(request: Request, user: Identified, skip: Skip = 0, limit: Limit = 10) -> ItemPage:
    pool = request.app.state.pool
    rows = await pool.fetch(sql.ITEM + sql.BY_OWNER.format("$1", "$2", "$3"), user["id"], limit, skip)
    total = await pool.fetchval(sql.COUNT + "$1", user["id"])
    return page_of([Item(**row) for row in rows], total, skip, limit)


@app.post("/api/v1/items/", status_code=201)
async def create_item(request: Request, user: Identified, body: NewItem) -> Item:
    now = datetime.now(UTC)
    values = {"title": body.title, "description": body.description, "owner_id": user["id"], "version": 1}
    values |= {"created_at": now, "updated_at": now}
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        item_id = await connection.fetchval(
            sql.ADD_ITEM.format("$1, $2, $3, $4, $5, $6, $7"), *values.values(), search_of(body)
        )
        await connection.execute(sql.ADD_EVENT.format("$1, $2, $3, $4"), "item.created", item_id, user["id"], now)
    return Item(id=item_id, **values)
