"""Sessions and refresh tokens in the database."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, select, update
from sqlmodel import col

from adapters.persistence.database import Database, Transaction
from adapters.persistence.rows import RefreshTokenRow, SessionRow, UserRow
from adapters.persistence.statements import Row, Statement, texts_in
from adapters.persistence.users import COLUMNS as USER_COLUMNS
from adapters.persistence.users import user_of
from domain.sessions import RefreshToken, Session
from domain.users import User, UserId

FIELDS: Final = ("id", "user_id", "created_at", "last_used_at", "expires_at", "user_agent", "ip")
TOKEN_FIELDS: Final = ("token_hash", "session_id", "expires_at", "spent_at")
_SESSION: Final = tuple(SessionRow.__table__.c[name] for name in FIELDS)  # type: ignore[attr-defined]
_TOKEN: Final = tuple(RefreshTokenRow.__table__.c[name] for name in TOKEN_FIELDS)  # type: ignore[attr-defined]

ADD: Final = Statement(insert(SessionRow).values({name: bindparam(name) for name in FIELDS}))
SAVE: Final = Statement(
    update(SessionRow)
    .where(col(SessionRow.id) == bindparam("session_id"))
    .values(last_used_at=bindparam("last_used_at"), expires_at=bindparam("expires_at"))
)
ADD_TOKEN: Final = Statement(insert(RefreshTokenRow).values({name: bindparam(name) for name in TOKEN_FIELDS}))
FIND_BY_TOKEN: Final = Statement(
    select(*_SESSION, *_TOKEN)
    .select_from(UserRow)  # first, so that it is locked first: everybody locks user, session, token in this order
    .join(SessionRow, col(SessionRow.user_id) == col(UserRow.id))
    .join(RefreshTokenRow, col(RefreshTokenRow.session_id) == col(SessionRow.id))
    .where(col(RefreshTokenRow.token_hash) == bindparam("hash"))
    .with_for_update()
)
MARK_SPENT: Final = Statement(
    update(RefreshTokenRow)
    .where(col(RefreshTokenRow.token_hash) == bindparam("hash"))
    .values(spent_at=bindparam("spent_at"))
)
REVOKE: Final = Statement(
    delete(SessionRow).where(
        col(SessionRow.id) == bindparam("session_id"), col(SessionRow.user_id) == bindparam("user_id")
    )
)
REVOKE_ALL: Final = Statement(
    delete(SessionRow).where(
        col(SessionRow.user_id) == bindparam("user_id"), col(SessionRow.id) != bindparam("kept_id")
    )
)
SWEEP: Final = Statement(
    delete(SessionRow).where(
        col(SessionRow.id).in_(
            select(col(SessionRow.id)).where(col(SessionRow.expires_at) <= bindparam("now")).limit(bindparam("limit"))
        )
    )
)
SWEEP_TOKENS: Final = Statement(
    delete(RefreshTokenRow).where(
        col(RefreshTokenRow.token_hash).in_(
            select(col(RefreshTokenRow.token_hash))
            .where(col(RefreshTokenRow.expires_at) <= bindparam("now"))
            .limit(bindparam("limit"))
        )
    )
)
IDENTIFY: Final = Statement(
    select(col(SessionRow.expires_at), *USER_COLUMNS)
    .join(UserRow, col(UserRow.id) == col(SessionRow.user_id))
    .where(col(SessionRow.id) == bindparam("session_id"))
)
LIVE: Final = Statement(
    select(col(SessionRow.id))
    .join(UserRow, col(UserRow.id) == col(SessionRow.user_id))
    .where(
        col(SessionRow.id).op("IN")(texts_in(bindparam("session_ids"))),
        col(SessionRow.expires_at) > bindparam("now"),
        col(UserRow.is_active),
    )
)
OF_USER: Final = Statement(
    select(*_SESSION)
    .where(col(SessionRow.user_id) == bindparam("user_id"), col(SessionRow.expires_at) > bindparam("now"))
    .order_by(col(SessionRow.last_used_at).desc(), col(SessionRow.id))
    .limit(1000)
)


def _session_of(row: Row) -> Session:
    return Session(**dict(zip(FIELDS, row, strict=True)))


def _values(entity: object, fields: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in fields}


class SqlSessions:
    """Implements `Sessions`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, session: Session) -> None:
        await self._transaction.run(ADD, **_values(session, FIELDS))

    async def save(self, session: Session) -> None:
        await self._transaction.run(
            SAVE, session_id=session.id, last_used_at=session.last_used_at, expires_at=session.expires_at
        )

    async def find_by_refresh_token(self, token_hash: str) -> tuple[Session, RefreshToken] | None:
        row = await self._transaction.first(FIND_BY_TOKEN, hash=token_hash)
        if row is None:
            return None
        token = RefreshToken(**dict(zip(TOKEN_FIELDS, row[len(FIELDS) :], strict=True)))
        return _session_of(row[: len(FIELDS)]), token

    async def add_refresh_token(self, token: RefreshToken) -> None:
        await self._transaction.run(ADD_TOKEN, **_values(token, TOKEN_FIELDS))

    async def mark_spent(self, token: RefreshToken) -> None:
        await self._transaction.run(MARK_SPENT, hash=token.token_hash, spent_at=token.spent_at)

    async def revoke(self, session_id: str, user_id: UserId) -> bool:
        return await self._transaction.run(REVOKE, session_id=session_id, user_id=user_id) > 0

    async def revoke_all(self, user_id: UserId, *, but: str | None = None) -> None:
        await self._transaction.run(REVOKE_ALL, user_id=user_id, kept_id=but or "")

    async def sweep(self, now: datetime, *, limit: int) -> int:
        sessions = await self._transaction.run(SWEEP, now=now, limit=limit)
        tokens = await self._transaction.run(SWEEP_TOKENS, now=now, limit=limit)
        return sessions + tokens


async def identify(database: Database, session_id: str) -> tuple[User, datetime] | None:
    """Whose session it is, and when that ends."""
    row = await database.first(IDENTIFY, session_id=session_id)
    return (user_of(row[1:]), row[0]) if row else None


async def sessions_of(database: Database, user_id: int, now: datetime) -> Sequence[Session]:
    """The sessions of that user that have not expired, last used first."""
    return [_session_of(row) for row in await database.all(OF_USER, user_id=user_id, now=now)]


async def live_sessions(database: Database, session_ids: Collection[str], now: datetime) -> Collection[str]:
    """Those of these sessions that have not expired, and whose user is active."""
    rows = await database.all(LIVE, session_ids=json.dumps(list(session_ids)), now=now)
    return {row[0] for row in rows}
