"""What was answered under an idempotency key, in the database."""

from datetime import timedelta
from typing import Final

from sqlalchemy import Integer, and_, bindparam, delete, insert, literal, select, tuple_
from sqlmodel import col

from adapters.persistence.database import Database, NotUnique, Transaction
from adapters.persistence.rows import AnswerRow
from adapters.persistence.statements import Statement, moment_ago
from domain.idempotency import AnswerAlreadyKept, Attempt, KeptAnswer
from domain.users import UserId

COLUMNS: Final = ("user_id", "key", "fingerprint", "answer")
_UNDER_KEY: Final = and_(col(AnswerRow.user_id) == bindparam("by_user"), col(AnswerRow.key) == bindparam("under_key"))

ADD: Final = Statement(
    insert(AnswerRow).values({name: bindparam(name) for name in COLUMNS} | {"created_at": moment_ago(literal(0))})
)
FIND: Final = Statement(select(col(AnswerRow.fingerprint), col(AnswerRow.answer)).where(_UNDER_KEY))
_PRIMARY_KEY: Final = tuple_(col(AnswerRow.user_id), col(AnswerRow.key))
SWEEP: Final = Statement(
    delete(AnswerRow).where(
        _PRIMARY_KEY.in_(
            select(col(AnswerRow.user_id), col(AnswerRow.key))
            .where(col(AnswerRow.created_at) <= moment_ago(bindparam("seconds", type_=Integer)))
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
            )
        except NotUnique as error:
            raise AnswerAlreadyKept from error

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        return await self._transaction.run(SWEEP, seconds=int(kept.total_seconds()), limit=limit)


async def find_answer(database: Database, user_id: UserId, key: str) -> KeptAnswer | None:
    """What is kept under that key of that user."""
    row = await database.first(FIND, by_user=user_id, under_key=key)
    if row is None:
        return None
    fingerprint, text = row
    return KeptAnswer(Attempt(user_id, key, fingerprint), text)
