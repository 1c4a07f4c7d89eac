"""The implementations of the persistence ports, put together alike, and what their tests start from."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Integer, bindparam, update
from sqlmodel import col

from adapters.persistence.database import Database
from adapters.persistence.jobs import SqlJobQueue
from adapters.persistence.postgres import PostgresDatabase
from adapters.persistence.rows import BlobRow, ChangeRow, JobRow, KeptAnswerRow
from adapters.persistence.sqlite import SqliteDatabase
from adapters.persistence.statements import Statement, moment_ago
from adapters.persistence.work import SqlReads, begin
from application.ports.jobs import JobQueue
from application.ports.persistence import Begin, Reads, Work
from domain.mailed_tokens import MailedToken, Purpose
from domain.sessions import RefreshToken, Session
from domain.users import User
from tests.builders import a_user
from tests.fakes import InMemoryStore, SettableClock
from tests.fakes.changes import show

PASS_TIME = Statement(
    update(JobRow).values(
        due_at=col(JobRow.due_at) - bindparam("elapsed"), created_at=col(JobRow.created_at) - bindparam("elapsed")
    )
)
AGE_ANSWERS = Statement(update(KeptAnswerRow).values(created_at=moment_ago(bindparam("seconds", type_=Integer))))
AGE_DOOMS = Statement(update(BlobRow).values(doomed_until=col(BlobRow.doomed_until) - bindparam("elapsed")))
AGE_CHANGES = Statement(update(ChangeRow).values(created_at=moment_ago(bindparam("seconds", type_=Integer))))


@dataclass(frozen=True)
class Store:
    """One implementation of the persistence ports, empty at first."""

    begin: Begin
    reads: Reads
    jobs: JobQueue
    clock: SettableClock
    let_pass: Callable[[timedelta], Awaitable[None]]
    """Makes everything in the job queue so much older, and so much sooner due, every doom so much sooner
    over, and every kept answer and change so old: no test waits for a lease to end."""

    async def has(self, email: str = "ada@example.org", **changes: Any) -> User:
        """A stored user."""
        async with self.begin() as work:
            return await work.users.add(a_user(email, **changes))

    async def has_session(self, user: User, session_id: str = "session-1", **changes: Any) -> Session:
        """A stored session of that user."""
        session = self.a_session(user, session_id, **changes)
        async with self.begin() as work:
            await work.sessions.add(session)
        return session

    def a_session(self, user: User, session_id: str = "session-1", **changes: Any) -> Session:
        """A new session that lasts a day."""
        now = self.clock.now()
        values: dict[str, Any] = {
            "user_id": user.id,
            "created_at": now,
            "last_used_at": now,
            "expires_at": now + timedelta(days=1),
            "user_agent": "Firefox",
            "ip": "192.0.2.1",
        }
        return Session(id=session_id, **(values | changes))

    def a_refresh_token(self, session: Session, token_hash: str = "hash-1", **changes: Any) -> RefreshToken:
        values: dict[str, Any] = {"session_id": session.id, "expires_at": session.expires_at}
        return RefreshToken(token_hash=token_hash, **(values | changes))

    def a_mailed_token(self, user: User, token_hash: str = "hash-1", **changes: Any) -> MailedToken:
        """A live token for verifying the address, good for a day."""
        values: dict[str, Any] = {
            "user_id": user.id,
            "purpose": Purpose.VERIFY_EMAIL,
            "email": user.email,
            "expires_at": self.clock.now() + timedelta(days=1),
        }
        return MailedToken(token_hash=token_hash, **(values | changes))

    async def sessions_of(self, user: User) -> list[str]:
        """The ids of the live sessions of that user, last used first."""
        return [session.id for session in await self.reads.sessions_of(user.id)]


def database_at(url: str) -> Database:
    """The adapter that is made for this URL, not opened yet."""
    if url.startswith("sqlite"):
        return SqliteDatabase(Path(url.removeprefix("sqlite:///")))
    return PostgresDatabase(url)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """The database at this URL, in use."""
    database = database_at(url)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def store_on(database: Database, clock: SettableClock) -> Store:
    """The ports on a database."""

    async def let_pass(time: timedelta) -> None:
        async with database.transaction() as transaction:
            await transaction.run(PASS_TIME, elapsed=int(time.total_seconds() * 1000))
            await transaction.run(AGE_DOOMS, elapsed=int(time.total_seconds() * 1000))
            for age in (AGE_ANSWERS, AGE_CHANGES):
                await transaction.run(age, seconds=int(time.total_seconds()))

    def transaction() -> AbstractAsyncContextManager[Work]:
        return begin(database, clock, show, lambda _: None)

    return Store(transaction, SqlReads(database, clock), SqlJobQueue(database), clock, let_pass)


def store_in_memory(clock: SettableClock) -> Store:
    """The ports on the fakes."""
    memory = InMemoryStore(clock)

    async def let_pass(time: timedelta) -> None:
        memory.jobs.advance(time)
        memory.ahead += time

    return Store(memory.begin, memory, memory.jobs, clock, let_pass)
