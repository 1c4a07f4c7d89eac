"""The least that a FastAPI app with a SQLModel async engine is: one table and one route that reads it."""

import os

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

app = FastAPI()
engine = create_async_engine(os.environ["DATABASE_URL"])


class Account(SQLModel, table=True):
    __tablename__ = "users"

    id: int = Field(primary_key=True)
    email: str


@app.get("/health")
async def health() -> Account | None:
    async with AsyncSession(engine) as session:
        return (await session.exec(select(Account).limit(1))).first()
