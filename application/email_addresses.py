"""Proving that an address is one's own, and changing it."""

from dataclasses import dataclass

from application.mailed_tokens import RedeemMailedToken
from application.passwords import ConfirmPassword
from application.ports.persistence import Begin, Reads
from application.ports.throttle import Throttle
from domain.events import EmailChanged, EmailChangeRequested, VerificationRequested
from domain.mailed_tokens import InvalidMailedToken, Purpose
from domain.passwords import Password
from domain.throttle import Limit, counted_as
from domain.users import Actor, Email, EmailTaken


@dataclass(frozen=True)
class VerifyEmail:
    """Confirm an address with the token mailed to it. Raises `InvalidMailedToken`."""

    begin: Begin
    redeem: RedeemMailedToken

    async def __call__(self, token: str) -> None:
        async with self.begin() as work:
            stored = await self.redeem(work, token, Purpose.VERIFY_EMAIL)
            user = await work.users.get(stored.user_id)
            if user.email != stored.email:
                raise InvalidMailedToken  # the address was changed after the mail went out
            user.is_verified = True
            await work.users.save(user)


@dataclass(frozen=True)
class ResendVerification:
    """Ask for the verification mail again. Takes the same time whether there is such an account or not.

    Raises `TooManyAttempts`.
    """

    begin: Begin
    throttle: Throttle

    async def __call__(self, email: Email, *, client: str) -> None:
        await self.throttle.spend(Limit.RESEND_VERIFICATION, counted_as(client))
        async with self.begin() as work:
            work.announce(VerificationRequested(email))


@dataclass(frozen=True)
class RequestEmailChange:
    """Ask for another address: a link goes to the new one, a notice to the old one; nothing else changes yet.

    It is throttled: the link goes to whatever address one names, and the answer tells whether that has an account.
    Raises `WrongPassword`, `EmailTaken`, `TooManyAttempts`, or `InvalidAccessToken` when the account was deleted
    meanwhile.
    """

    begin: Begin
    reads: Reads
    confirm_password: ConfirmPassword
    throttle: Throttle

    async def __call__(self, actor: Actor, *, new_email: Email, password: Password, client: str) -> None:
        await self.confirm_password(actor, password)
        await self.throttle.spend(Limit.EMAIL_CHANGE, counted_as(client))
        if await self.reads.user_by_email(new_email) is not None:
            raise EmailTaken
        async with self.begin() as work:
            user = await self.confirm_password.still_holds(work, actor)
            work.announce(
                EmailChangeRequested(
                    user.id, old_email=user.email, new_email=new_email, password_mark=user.password_mark
                )
            )


@dataclass(frozen=True)
class ChangeEmail:
    """Take the new address with the token mailed to it; the old one is told.

    Links that were mailed to the old address are worth nothing afterwards. Raises `InvalidMailedToken` or `EmailTaken`.
    """

    begin: Begin
    redeem: RedeemMailedToken

    async def __call__(self, token: str) -> None:
        async with self.begin() as work:
            stored = await self.redeem(work, token, Purpose.CHANGE_EMAIL)
            user = await work.users.get(stored.user_id)
            old_email = user.email
            user.change_email(stored.email, verified=True)
            await work.users.save(user)
            work.announce(EmailChanged(user.id, old_email=old_email, new_email=user.email))
