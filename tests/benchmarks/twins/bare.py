"""The least that a FastAPI app with a SQLModel async engine is: one table, made at the start if it isn't there, and
one route that reads it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

engine = create_async_engine(os.environ["DATABASE_URL"])


class Account(SQLModel, table=True):
    __tablename__ = "users"

    id: int = Field(primary_key=True)
    email: str


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> Account | None:
    async with AsyncSession(engine) as session:
        return (await session.exec(select(Account).limit(1))).first()
