"""Accounts in the database."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, bindparam, delete, func, insert, or_, select, update
from sqlmodel import col

from adapters.persistence.database import Database, NotUnique, Transaction
from adapters.persistence.pages import NewestFirst, newest_first, page_of
from adapters.persistence.rows import UserRow
from adapters.persistence.statements import Row, Statement, has_word
from application.ports.clock import Clock
from application.ports.persistence.users import MOST_ACTIVITIES
from domain.pages import Page, PageRequest
from domain.search import folded
from domain.users import ACTIVITY_GRAIN, Email, EmailTaken, User, UserId, UserNotFound

WRITTEN: Final = (
    "email",
    "full_name",
    "password_hash",
    "is_active",
    "is_verified",
    "is_superuser",
    "created_at",
    "updated_at",
    "last_active",
)
"""The columns that the entity's fields of the same names are kept in, but for its id."""

COLUMNS: Final = tuple(UserRow.__table__.c[name] for name in ("id", *WRITTEN))  # type: ignore[attr-defined]
"""What `user_of` wants, in its order."""

ADD: Final = Statement(
    insert(UserRow).values({name: bindparam(name) for name in (*WRITTEN, "search")}).returning(col(UserRow.id))
)
SAVE: Final = Statement(
    update(UserRow)
    .where(col(UserRow.id) == bindparam("user_id"))
    .values({name: bindparam(name) for name in (*WRITTEN, "search") if name not in ("created_at", "last_active")})
)
DELETE: Final = Statement(delete(UserRow).where(col(UserRow.id) == bindparam("user_id")))
_NOT_LATELY: Final = or_(col(UserRow.last_active).is_(None), col(UserRow.last_active) <= bindparam("before"))
RECORD_ACTIVITY: Final = Statement(
    update(UserRow)
    .where(col(UserRow.id) == bindparam("user_id"))
    .where(_NOT_LATELY)
    .values(last_active=bindparam("at"))
)
_ACTIVE: Final = (  # the places of those who are fewer hold 0, who is nobody
    select(col(UserRow.id))
    .where(col(UserRow.id).in_([bindparam(f"id{n}", 0) for n in range(MOST_ACTIVITIES)]))
    .where(_NOT_LATELY)
    .with_for_update(skip_locked=True)
    .cte("active")
)
RECORD_ACTIVITIES: Final = Statement(
    update(UserRow).where(col(UserRow.id).in_(select(_ACTIVE.c.id))).values(last_active=bindparam("at"))
)
_BY_ID: Final = select(*COLUMNS).where(col(UserRow.id) == bindparam("user_id"))
_BY_EMAIL: Final = select(*COLUMNS).where(col(UserRow.email) == bindparam("email"))
BY_ID: Final = Statement(_BY_ID)
BY_EMAIL: Final = Statement(_BY_EMAIL)
LOCK_BY_ID: Final = Statement(_BY_ID.with_for_update())
LOCK_BY_EMAIL: Final = Statement(_BY_EMAIL.with_for_update())
LOCK_SUPERUSERS: Final = Statement(
    select(col(UserRow.id))
    .where(col(UserRow.is_superuser).is_(True), col(UserRow.is_active).is_(True))
    .order_by(col(UserRow.id))
    .with_for_update()
)


def user_of(row: Row) -> User:
    """The account in a row of `COLUMNS`."""
    (id_, email, name, password_hash, is_active, is_verified, is_superuser, created_at, updated_at, last_active) = row
    return User(
        id=id_,
        email=Email.known(email),
        full_name=name,
        password_hash=password_hash,
        is_active=bool(is_active),
        is_verified=bool(is_verified),
        is_superuser=bool(is_superuser),
        created_at=created_at,
        updated_at=updated_at,
        last_active=last_active,
    )


def _values(user: User) -> dict[str, Any]:
    values = {name: getattr(user, name) for name in WRITTEN}
    return values | {"email": str(user.email), "search": folded(user.email, user.full_name)}


class SqlUsers:
    """Implements `Users`."""

    def __init__(self, transaction: Transaction, clock: Clock) -> None:
        self._transaction = transaction
        self._clock = clock

    async def add(self, user: User) -> User:
        try:
            row = await self._transaction.first(ADD, **_values(user))
        except NotUnique as error:
            raise EmailTaken from error
        assert row is not None  # an insert that adds nothing raises
        user.id = UserId(row[0])
        return user

    async def get(self, user_id: int) -> User:
        row = await self._transaction.first(LOCK_BY_ID, user_id=user_id)
        if row is None:
            raise UserNotFound
        return user_of(row)

    async def find_by_email(self, email: Email) -> User | None:
        row = await self._transaction.first(LOCK_BY_EMAIL, email=email)
        return user_of(row) if row else None

    async def save(self, user: User) -> None:
        user.updated_at = self._clock.now()
        try:
            await self._transaction.run(SAVE, user_id=user.id, **_values(user))
        except NotUnique as error:
            raise EmailTaken from error

    async def delete(self, user_id: int) -> None:
        if not await self._transaction.run(DELETE, user_id=user_id):
            raise UserNotFound

    async def lock_active_superusers(self) -> set[int]:
        return {row[0] for row in await self._transaction.all(LOCK_SUPERUSERS)}

    async def record_activity(self, user_id: int, at: datetime) -> None:
        await self._transaction.run(RECORD_ACTIVITY, user_id=user_id, before=at - ACTIVITY_GRAIN, at=at)

    async def record_activities(self, user_ids: Sequence[UserId], at: datetime) -> None:
        ids = {f"id{n}": user_id for n, user_id in enumerate(user_ids)}
        await self._transaction.run(RECORD_ACTIVITIES, before=at - ACTIVITY_GRAIN, at=at, **ids)


@lru_cache(maxsize=64)
def newest_users(words: int, by_activity: bool) -> NewestFirst:
    """The statements of a list with so many conditions."""
    conditions: list[ColumnElement[bool]] = [
        has_word(col(UserRow.search), bindparam(f"word{n}", type_=Text)) for n in range(words)
    ]
    if by_activity:
        conditions.append(col(UserRow.is_active) == bindparam("is_active"))
    count = select(func.count()).select_from(UserRow).where(*conditions)
    return newest_first(select(*COLUMNS).where(*conditions), col(UserRow.id), count)


async def page_of_users(
    database: Database, request: PageRequest, *, words: Sequence[str], is_active: bool | None
) -> Page[User]:
    """Newest first."""
    values: dict[str, Any] = {f"word{n}": word for n, word in enumerate(words)}
    if is_active is not None:
        values["is_active"] = is_active
    return await page_of(database, newest_users(len(words), is_active is not None), user_of, request, **values)
