"""What was answered under an idempotency key, in the database."""

from datetime import datetime
from typing import Final

from sqlalchemy import and_, bindparam, delete, insert, select, tuple_
from sqlmodel import col

from adapters.persistence.database import Database, NotUnique, Transaction
from adapters.persistence.rows import AnswerRow
from adapters.persistence.statements import Statement
from domain.idempotency import AnswerAlreadyKept, Attempt, KeptAnswer
from domain.users import UserId

COLUMNS: Final = ("user_id", "key", "fingerprint", "answer", "created_at")
_UNDER_KEY: Final = and_(col(AnswerRow.user_id) == bindparam("by_user"), col(AnswerRow.key) == bindparam("under_key"))

ADD: Final = Statement(insert(AnswerRow).values({name: bindparam(name) for name in COLUMNS}))
FIND: Final = Statement(
    select(col(AnswerRow.fingerprint), col(AnswerRow.answer), col(AnswerRow.created_at)).where(_UNDER_KEY)
)
FORGET: Final = Statement(delete(AnswerRow).where(_UNDER_KEY, col(AnswerRow.created_at) == bindparam("kept_at")))
_PRIMARY_KEY: Final = tuple_(col(AnswerRow.user_id), col(AnswerRow.key))
SWEEP: Final = Statement(
    delete(AnswerRow).where(
        _PRIMARY_KEY.in_(
            select(col(AnswerRow.user_id), col(AnswerRow.key))
            .where(col(AnswerRow.created_at) <= bindparam("before"))
            .limit(bindparam("limit"))
        )
    )
)


class SqlAnswers:
    """Implements `Answers`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, answer: KeptAnswer) -> None:
        attempt = answer.attempt
        try:
            await self._transaction.run(
                ADD,
                user_id=attempt.user_id,
                key=attempt.key,
                fingerprint=attempt.fingerprint,
                answer=answer.text,
                created_at=answer.created_at,
            )
        except NotUnique as error:
            raise AnswerAlreadyKept from error

    async def forget(self, answer: KeptAnswer) -> None:
        attempt = answer.attempt
        await self._transaction.run(FORGET, by_user=attempt.user_id, under_key=attempt.key, kept_at=answer.created_at)

    async def sweep(self, before: datetime, *, limit: int) -> int:
        return await self._transaction.run(SWEEP, before=before, limit=limit)


async def find_answer(database: Database, user_id: UserId, key: str) -> KeptAnswer | None:
    """What is kept under that key of that user, expired or not."""
    row = await database.first(FIND, by_user=user_id, under_key=key)
    if row is None:
        return None
    fingerprint, text, created_at = row
    return KeptAnswer(Attempt(user_id, key, fingerprint), text, created_at)
