"""Doing a thing once, however often it is asked for under one key: the record commits with what was done."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from application.ports.persistence import Also, Begin, Reads, Work
from domain.idempotency import AnswerAlreadyKept, Attempt, IdempotencyInProgress, KeptAnswer
from domain.users import UserId

T = TypeVar("T")


@dataclass(frozen=True)
class DoOnce:
    """Create a thing under a key, or find what was answered when it was created.

    Of several at once, one does it. Those of this process are refused before they begin, whatever they ask for; those
    of another one come to keep their answer, what they did is undone, and they get the first one's if that is there by
    then. A creation that fails keeps nothing, so the key stays free.
    """

    begin: Begin
    reads: Reads
    under_way: set[tuple[UserId, str]] = field(default_factory=set)
    """The keys under which something is just being created in this process."""

    async def __call__(
        self, attempt: Attempt, create: Callable[[Also[T]], Awaitable[object]], answer: Callable[[T], str]
    ) -> tuple[str, bool]:
        """The answer's text, and whether it was given before.

        Raises `IdempotencyKeyReused`, `IdempotencyInProgress`, or what `create` raises.
        """
        kept = await self._find(attempt)
        if kept is not None:  # this first: what is finished is answered, though somebody else may be finding that out
            return kept, True
        place = attempt.user_id, attempt.key
        if place in self.under_way:
            raise IdempotencyInProgress
        self.under_way.add(place)
        try:
            return await self._create(attempt, create, answer), False
        except AnswerAlreadyKept:
            kept = await self._find(attempt)
            if kept is None:  # it was swept at this very moment
                raise IdempotencyInProgress from None
            return kept, True
        finally:
            self.under_way.remove(place)

    async def _create(
        self, attempt: Attempt, create: Callable[[Also[T]], Awaitable[object]], answer: Callable[[T], str]
    ) -> str:
        text: str

        async def keep(work: Work, thing: T) -> None:
            nonlocal text
            text = answer(thing)
            await work.kept_answers.add(KeptAnswer(attempt, text))

        await create(keep)
        return text

    async def _find(self, attempt: Attempt) -> str | None:
        kept = await self.reads.kept_answer(attempt.user_id, attempt.key)
        if kept is None:
            return None
        kept.must_answer(attempt)
        return kept.text
