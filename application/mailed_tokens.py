"""Redeeming the tokens in mailed links."""

from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.persistence import Reads, Work
from application.ports.security import Secrets
from domain.mailed_tokens import InvalidMailedToken, MailedToken, Purpose


@dataclass(frozen=True)
class RedeemMailedToken:
    """Use a mailed token up, inside the transaction that does what it is for. Raises `InvalidMailedToken`."""

    secrets: Secrets
    clock: Clock

    async def __call__(self, work: Work, token: str, purpose: Purpose) -> MailedToken:
        stored = await work.mailed_tokens.find(self.secrets.hash(token))
        if stored is None:
            raise InvalidMailedToken
        stored.redeem(purpose, self.clock.now())
        await work.mailed_tokens.mark_dead(stored)
        return stored


@dataclass(frozen=True)
class CheckMailedToken:
    """What we keep of a mailed token that would do now; it stays unused. Raises `InvalidMailedToken` if it wouldn't."""

    reads: Reads
    secrets: Secrets
    clock: Clock

    async def __call__(self, token: str, purpose: Purpose) -> MailedToken:
        stored = await self.reads.mailed_token(self.secrets.hash(token))
        if stored is None or not stored.is_live(purpose, self.clock.now()):
            raise InvalidMailedToken
        return stored
