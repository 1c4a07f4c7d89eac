"""Setting, confirming, changing and resetting passwords."""

from dataclasses import dataclass

from application.mailed_tokens import CheckMailedToken, RedeemMailedToken
from application.ports.persistence import Begin, Work
from application.ports.security import BreachedPasswords, PasswordHasher
from application.ports.throttle import Throttle
from application.sessions import own_account
from domain.events import PasswordChanged, PasswordResetRequested
from domain.mailed_tokens import InvalidMailedToken, Purpose
from domain.passwords import Password, PasswordTooCommon, WrongPassword
from domain.throttle import Limit, counted_as
from domain.users import Actor, Email, User


@dataclass(frozen=True)
class HashNewPassword:
    """The hash of a password that somebody chose. Raises `PasswordTooCommon`."""

    hasher: PasswordHasher
    breached: BreachedPasswords

    async def __call__(self, password: Password) -> str:
        if await self.breached.contains(password):
            raise PasswordTooCommon
        return await self.hasher.hash(password)


@dataclass(frozen=True)
class ConfirmPassword:
    """Make sure that it is really the owner who asks for something grave. Raises `WrongPassword`, `TooManyAttempts`.

    That takes time, and others may use it to change the password: whatever is then done begins with `still_holds`.
    """

    hasher: PasswordHasher
    throttle: Throttle

    async def __call__(self, actor: Actor, password: Password) -> None:
        spending = (Limit.CONFIRM_PASSWORD, str(actor.user.id))
        await self.throttle.check(*spending)
        if not await self.hasher.verify(password, actor.user.password_hash):
            await self.throttle.spend(*spending)
            raise WrongPassword
        await self.throttle.check(*spending)

    async def still_holds(self, work: Work, actor: Actor) -> User:
        """The account whose password was confirmed, inside the transaction that does what it was asked for.

        Raises `WrongPassword` if that is no longer its password, `InvalidAccessToken` if the account is gone.
        """
        user = await own_account(work, actor)
        if user.password_hash != actor.user.password_hash:
            raise WrongPassword  # it was changed while this one was being checked
        return user


async def set_password(work: Work, user: User, password_hash: str, *, keep_session: str | None) -> None:
    """What every change of a password does: other sessions end, links that could take the account away again die,
    and its owner is told."""
    user.password_hash = password_hash
    await work.users.save(user)
    await work.sessions.revoke_all(user.id, but=keep_session)
    for purpose in (Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL):
        await work.mailed_tokens.supersede(user.id, purpose)
    work.announce(PasswordChanged(user.id, user.email))


@dataclass(frozen=True)
class ChangePassword:
    """Exchange the password for another one; only this session goes on.

    Raises `WrongPassword`, `PasswordTooCommon`, `TooManyAttempts`, or `InvalidAccessToken` when the account was deleted
    meanwhile.
    """

    begin: Begin
    confirm_password: ConfirmPassword
    hash_new_password: HashNewPassword

    async def __call__(self, actor: Actor, *, current: Password, new: Password) -> None:
        await self.confirm_password(actor, current)
        password_hash = await self.hash_new_password(new)
        async with self.begin() as work:
            user = await self.confirm_password.still_holds(work, actor)
            await set_password(work, user, password_hash, keep_session=actor.session_id)


@dataclass(frozen=True)
class ForgotPassword:
    """Ask for a link to reset a password. Takes the same time whether there is such an account or not.

    Raises `TooManyAttempts`.
    """

    begin: Begin
    throttle: Throttle

    async def __call__(self, email: Email, *, client: str) -> None:
        await self.throttle.spend(Limit.FORGOTTEN_PASSWORD, counted_as(client))
        async with self.begin() as work:
            work.announce(PasswordResetRequested(email))


@dataclass(frozen=True)
class ResetPassword:
    """Set a new password with the token of a mailed link; every session ends.

    Raises `InvalidMailedToken` or `PasswordTooCommon`; after the latter the link still works.
    """

    begin: Begin
    check_token: CheckMailedToken
    redeem: RedeemMailedToken
    hash_new_password: HashNewPassword

    async def __call__(self, *, token: str, new: Password) -> None:
        await self.check_token(token, Purpose.RESET_PASSWORD)  # before the work of hashing is spent on it
        password_hash = await self.hash_new_password(new)
        async with self.begin() as work:
            stored = await self.redeem(work, token, Purpose.RESET_PASSWORD)
            user = await work.users.get(stored.user_id)
            if user.email != stored.email:
                raise InvalidMailedToken  # the address was changed after the mail went out
            await set_password(work, user, password_hash, keep_session=None)
