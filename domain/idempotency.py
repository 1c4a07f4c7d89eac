"""Doing a thing once, however often it is asked for under one key."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from domain.errors import Conflict, Invalid
from domain.users import UserId

KEPT: Final = timedelta(hours=24)
"""How long an answer is given again, at least: until it is swept."""


class IdempotencyKeyReused(Invalid):
    code = "idempotency_key_reused"
    message = "This idempotency key was used for another request"


class IdempotencyInProgress(Conflict):
    code = "idempotency_in_progress"
    message = "A request with this idempotency key is under way. Please try again shortly"
    retry_after = 1


class AnswerAlreadyKept(Exception):
    """Another request under this key has just been done."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request under a key. The fingerprint tells whether two of them ask for the same thing."""

    user_id: UserId
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What the first request under a key was answered."""

    attempt: Attempt
    text: str

    def must_answer(self, attempt: Attempt) -> None:
        """Raises `IdempotencyKeyReused` when the attempt asks for something else."""
        if self.attempt.fingerprint != attempt.fingerprint:
            raise IdempotencyKeyReused
