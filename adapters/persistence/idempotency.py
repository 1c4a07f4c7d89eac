"""What was answered under an idempotency key, in the database.

In PostgreSQL, whoever keeps an answer has a lock on its key until the commit, and nobody waits for it. In SQLite
writers take turns, so nobody meets another one who is at it: one of another process waits, and then finds the answer.
"""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Boolean, Integer, and_, bindparam, delete, insert, literal, select, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlmodel import col

from adapters.persistence.database import Database, NotUnique, Transaction
from adapters.persistence.rows import KeptAnswerRow
from adapters.persistence.statements import Statement, moment_ago
from domain.idempotency import AnswerAlreadyKept, Attempt, IdempotencyInProgress, KeptAnswer
from domain.users import UserId


class key_is_ours(FunctionElement[bool]):  # noqa: N801 - reads as a function in SQL expressions
    """Whether no other transaction has that key, of a user's id and the key; it is this one's then until it ends.

    The lock's number has 63 bits: the chance that two keys share one is nothing to worry about, and the one who came
    later would only have to ask again. Those below zero are for other locks.
    """

    type = Boolean()
    inherit_cache = True


@compiles(key_is_ours, "sqlite")
def _key_in_sqlite(_element: key_is_ours, _compiler: SQLCompiler, **_options: Any) -> str:
    return "1"


@compiles(key_is_ours, "postgresql")
def _key_in_postgresql(element: key_is_ours, compiler: SQLCompiler, **options: Any) -> str:
    user_id, key = (compiler.process(clause, **options) for clause in element.clauses)
    return f"pg_try_advisory_xact_lock(hashtextextended({key}, {user_id}) & {2**63 - 1})"


COLUMNS: Final = ("user_id", "key", "fingerprint", "answer")
TABLE: Final = KeptAnswerRow.__table__  # type: ignore[attr-defined]
_UNDER_KEY: Final = and_(
    col(KeptAnswerRow.user_id) == bindparam("by_user"), col(KeptAnswerRow.key) == bindparam("under_key")
)


def _add() -> Statement:
    """One statement that takes the key and keeps the answer, or does neither: nothing is spent on asking first."""
    values = {name: bindparam(name, type_=TABLE.c[name].type) for name in COLUMNS}
    if_ours = select(*values.values(), moment_ago(literal(0))).where(key_is_ours(values["user_id"], values["key"]))
    return Statement(insert(KeptAnswerRow).from_select((*COLUMNS, "created_at"), if_ours, include_defaults=False))


ADD: Final = _add()
FIND: Final = Statement(select(col(KeptAnswerRow.fingerprint), col(KeptAnswerRow.answer)).where(_UNDER_KEY))
_PRIMARY_KEY: Final = tuple_(col(KeptAnswerRow.user_id), col(KeptAnswerRow.key))
SWEEP: Final = Statement(
    delete(KeptAnswerRow).where(
        _PRIMARY_KEY.in_(
            select(col(KeptAnswerRow.user_id), col(KeptAnswerRow.key))
            .where(col(KeptAnswerRow.created_at) <= moment_ago(bindparam("seconds", type_=Integer)))
            .limit(bindparam("limit"))
        )
    )
)


class SqlKeptAnswers:
    """Implements `KeptAnswers`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, answer: KeptAnswer) -> None:
        attempt = answer.attempt
        try:
            added = await self._transaction.run(
                ADD,
                user_id=attempt.user_id,
                key=attempt.key,
                fingerprint=attempt.fingerprint,
                answer=answer.text,
            )
        except NotUnique as error:
            raise AnswerAlreadyKept from error
        if not added:
            raise IdempotencyInProgress

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        return await self._transaction.run(SWEEP, seconds=int(kept.total_seconds()), limit=limit)


async def find_kept_answer(database: Database, user_id: UserId, key: str) -> KeptAnswer | None:
    """What is kept under that key of that user."""
    row = await database.first(FIND, by_user=user_id, under_key=key)
    if row is None:
        return None
    fingerprint, text = row
    return KeptAnswer(Attempt(user_id, key, fingerprint), text)
