"""`GET /users/me` written by hand on asyncpg's pool."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, HTTPException, Request

from tests.benchmarks.twins.answers import JOINED, SessionId, User, refuse_unless_live


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/api/v1/users/me")
async def get_own_user(request: Request, session_id: SessionId) -> User:
    row = await request.app.state.pool.fetchrow(JOINED + "$1", session_id)
    if row is None:
        raise HTTPException(401, "Invalid token", {"WWW-Authenticate": "Bearer"})
    refuse_unless_live(row["expires_at"], row["is_active"])
    return User(**row)
