"""Mailed tokens in the database."""

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, insert, select, update
from sqlmodel import col

from adapters.persistence.database import Database, Transaction
from adapters.persistence.rows import MailedTokenRow, UserRow
from adapters.persistence.statements import Row, Statement
from domain.mailed_tokens import MailedToken, Purpose
from domain.users import Email, UserId

FIELDS: Final = ("token_hash", "user_id", "purpose", "email", "expires_at", "dead")
_COLUMNS: Final = tuple(MailedTokenRow.__table__.c[name] for name in FIELDS)  # type: ignore[attr-defined]
_BY_HASH: Final = select(*_COLUMNS).where(col(MailedTokenRow.token_hash) == bindparam("hash"))

ADD: Final = Statement(insert(MailedTokenRow).values({name: bindparam(name) for name in FIELDS}))
FIND: Final = Statement(_BY_HASH)
LOCK: Final = Statement(
    select(*_COLUMNS)
    .select_from(UserRow)  # first, so that it is locked first: everybody locks the user before their tokens
    .join(MailedTokenRow, col(MailedTokenRow.user_id) == col(UserRow.id))
    .where(col(MailedTokenRow.token_hash) == bindparam("hash"))
    .with_for_update()
)
PROLONG: Final = Statement(
    update(MailedTokenRow)
    .where(col(MailedTokenRow.token_hash) == bindparam("hash"))
    .values(expires_at=bindparam("expires_at"))
)
KILL: Final = Statement(
    update(MailedTokenRow).where(col(MailedTokenRow.token_hash) == bindparam("hash")).values(dead=True)
)
SUPERSEDE: Final = Statement(
    update(MailedTokenRow)
    .where(
        col(MailedTokenRow.user_id) == bindparam("of_user"),
        col(MailedTokenRow.purpose) == bindparam("for_purpose"),
        col(MailedTokenRow.dead).is_(False),
    )
    .values(dead=True)
)
SWEEP: Final = Statement(
    delete(MailedTokenRow).where(
        col(MailedTokenRow.token_hash).in_(
            select(col(MailedTokenRow.token_hash))
            .where(col(MailedTokenRow.expires_at) <= bindparam("now"))
            .limit(bindparam("limit"))
        )
    )
)


def _token_of(row: Row) -> MailedToken:
    token_hash, user_id, purpose, email, expires_at, dead = row
    return MailedToken(
        token_hash=token_hash,
        user_id=user_id,
        purpose=Purpose(purpose),
        email=Email.known(email),
        expires_at=expires_at,
        dead=bool(dead),
    )


class SqlMailedTokens:
    """Implements `MailedTokens`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def replace(self, token: MailedToken) -> bool:
        stored = await self.find(token.token_hash)
        if stored is None:
            await self.supersede(token.user_id, token.purpose)
            await self._transaction.run(ADD, **{name: getattr(token, name) for name in FIELDS})
            return True
        if not stored.dead:
            await self._transaction.run(PROLONG, hash=token.token_hash, expires_at=token.expires_at)
        return not stored.dead

    async def find(self, token_hash: str) -> MailedToken | None:
        row = await self._transaction.first(LOCK, hash=token_hash)
        return _token_of(row) if row else None

    async def mark_dead(self, token: MailedToken) -> None:
        await self._transaction.run(KILL, hash=token.token_hash)

    async def supersede(self, user_id: UserId, purpose: Purpose) -> None:
        await self._transaction.run(SUPERSEDE, of_user=user_id, for_purpose=purpose)

    async def sweep(self, now: datetime, *, limit: int) -> int:
        return await self._transaction.run(SWEEP, now=now, limit=limit)


async def find_mailed_token(database: Database, token_hash: str) -> MailedToken | None:
    """The token, as it is now."""
    row = await database.first(FIND, hash=token_hash)
    return _token_of(row) if row else None
