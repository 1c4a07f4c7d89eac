"""What was answered under idempotency keys, as it is kept."""

from datetime import timedelta
from typing import Protocol

from domain.idempotency import KeptAnswer


class KeptAnswers(Protocol):
    """What was answered under an idempotency key, inside a transaction."""

    async def add(self, answer: KeptAnswer) -> None:
        """Keep the answer.

        Raises `AnswerAlreadyKept`, or `IdempotencyInProgress` while another transaction is doing so under the same key
        of the same user, unless writers take turns anyway: it waits for none but for its turn. This transaction is then
        of no more use.
        """

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        """Remove up to `limit` answers that have been kept for so long, by the database's clock; how many there were.

        One host whose clock is wrong must not make the others do a thing twice.
        """
