"""Time, secrets, tokens, throttles and mail."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import Final

from application.correlation import request_id
from application.ports.clock import Clock
from application.ports.mail import Mail, MailRejected, MailUndelivered
from application.ports.security import Claims
from domain.errors import TooManyAttempts
from domain.sessions import InvalidAccessToken
from domain.throttle import Limit
from domain.users import UserId
from tests.fakes.transactions import must_be_outside_a_transaction

_ADDRESS: Final = re.compile(r"[^.@<>]+(\.[^.@<>]+)*@(?!-)[^.@]+(\.(?!-)[^.@]+)*")


@dataclass
class SettableClock:
    """A `Clock` that stands still until it is told to go on."""

    moment: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def advance(self, by: timedelta) -> None:
        self.moment += by


@dataclass
class SequentialSecrets:
    """`Secrets` that are told apart by counting."""

    count: int = 0

    def new(self) -> str:
        self.count += 1
        return f"secret-{self.count}"

    def new_id(self) -> str:
        self.count += 1
        return f"id-{self.count}"

    def derived(self, purpose: str, subject: str) -> str:
        return f"{purpose} for {subject}"

    def is_derived(self, secret: str, purpose: str, subject: str) -> bool:
        return secret == self.derived(purpose, subject)

    def hash(self, secret: str) -> str:
        return sha256(secret.encode()).hexdigest()


@dataclass
class FakeTokens:
    """`AccessTokens` that anybody could write, and that expire."""

    clock: Clock
    lifetime_seconds: int = 1800

    def issue(self, user_id: UserId, session_id: str) -> str:
        return f"access {user_id} {session_id} {self.clock.now().timestamp() + self.lifetime_seconds}"

    def verify(self, token: str) -> Claims:
        try:
            scheme, user_id, session_id, expires_at = token.split(" ")
            claims = Claims(UserId(int(user_id)), session_id, float(expires_at))
        except ValueError:
            raise InvalidAccessToken from None
        if scheme != "access" or claims.expires_at <= self.clock.now().timestamp():
            raise InvalidAccessToken
        return claims


@dataclass
class CountingThrottle:
    """A `Throttle` with a moving window for each limit and key."""

    clock: Clock
    spent: dict[tuple[Limit, *tuple[str, ...]], list[datetime]] = field(default_factory=dict)

    async def check(self, limit: Limit, *key: str) -> None:
        allowance = limit.value
        counted = [at for at in self.spent.get((limit, *key), []) if self.clock.now() - at < allowance.per]
        if len(counted) >= allowance.attempts:
            free_at = counted[-allowance.attempts] + allowance.per
            raise TooManyAttempts(ceil((free_at - self.clock.now()).total_seconds()))

    async def spend(self, limit: Limit, *key: str) -> None:
        await self.check(limit, *key)
        self.spent.setdefault((limit, *key), []).append(self.clock.now())


@dataclass
class RecordingMailer:
    """A `Mailer` that keeps what it accepts, and can be told to reject or to fail.

    `sent` are the mails, `request_ids` the request that was current for each of them.
    """

    sent: list[Mail] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)
    attempts: int = 0
    refusal: MailRejected | MailUndelivered | None = None

    def reject(self) -> None:
        """Refuse every message for good from now on."""
        self.refusal = MailRejected("550 no such user here")

    def fail(self) -> None:
        """Deliver nothing from now on."""
        self.refusal = MailUndelivered("451 try again later")

    def recover(self) -> None:
        """Accept everything again."""
        self.refusal = None

    async def send(self, mail: Mail) -> None:
        must_be_outside_a_transaction("sending mail")
        self.attempts += 1
        if self.refusal is not None:
            raise self.refusal
        if not _ADDRESS.fullmatch(mail.to):
            raise MailRejected("the recipient's address is not a valid one")
        self.sent.append(mail)
        self.request_ids.append(request_id.get())
