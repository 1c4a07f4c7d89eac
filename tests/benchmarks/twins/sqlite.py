"""`GET /users/me` written by hand on sqlite3 in threads, each with a connection of its own."""

import asyncio
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from fastapi import FastAPI, HTTPException

from tests.benchmarks.twins.answers import JOINED, SessionId, User, refuse_unless_live

app = FastAPI()
threads = ThreadPoolExecutor(4)
local = threading.local()


def find(session_id: str) -> sqlite3.Row | None:
    connection: sqlite3.Connection | None = getattr(local, "connection", None)
    if connection is None:
        connection = local.connection = sqlite3.connect(os.environ["DATABASE_FILE"])
        connection.row_factory = sqlite3.Row
    row: sqlite3.Row | None = connection.execute(JOINED + "?", (session_id,)).fetchone()
    return row


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/api/v1/users/me")
async def get_own_user(session_id: SessionId) -> User:
    row = await asyncio.get_running_loop().run_in_executor(threads, find, session_id)
    if row is None:
        raise HTTPException(401, "Invalid token", {"WWW-Authenticate": "Bearer"})
    refuse_unless_live(datetime.fromisoformat(row["expires_at"]).replace(tzinfo=UTC), bool(row["is_active"]))
    return User(**dict(row))
