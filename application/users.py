"""Opening accounts and looking after them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from application.passwords import ConfirmPassword, HashNewPassword, set_password
from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.persistence import Begin, Reads, Work
from application.ports.throttle import Throttle
from application.sessions import own_account
from domain.events import UserDeleted, UserPinged, UserRegistered, VerificationRequested
from domain.mailed_tokens import Purpose
from domain.pages import Page, PageRequest
from domain.passwords import Password
from domain.search import words
from domain.throttle import Limit, counted_as
from domain.users import (
    Actor,
    Email,
    RegistrationClosed,
    User,
    UserChange,
    must_leave_a_superuser,
    valid_full_name,
)


@dataclass(frozen=True)
class RegisterUser:
    """Open an account. The verification mail follows from `UserRegistered`.

    Raises `RegistrationClosed`, `TooManyAttempts`, `PasswordTooCommon`, `EmailTaken`, or `ValueError` for a name that
    breaks the rules.
    """

    begin: Begin
    hash_new_password: HashNewPassword
    throttle: Throttle
    clock: Clock
    registration_open: bool

    async def __call__(self, *, email: Email, password: Password, full_name: str | None, client: str) -> User:
        if not self.registration_open:
            raise RegistrationClosed
        full_name = valid_full_name(full_name)
        await self.throttle.spend(Limit.REGISTRATION, counted_as(client))
        password_hash = await self.hash_new_password(password)  # slow on purpose: never inside a transaction
        now = self.clock.now()
        async with self.begin() as work:
            user = await work.users.add(
                User(email=email, full_name=full_name, password_hash=password_hash, created_at=now, updated_at=now)
            )
            work.announce(UserRegistered(user.id))
        return user


@dataclass(frozen=True)
class CreateSuperuser:
    """Open a superuser's account, or promote the one that has this address; its password is then the given one,
    if one is given. Raises `PasswordTooCommon`, `EmailTaken` if somebody else opens such an account at that moment, or
    `ValueError` if a new account has no password.
    """

    begin: Begin
    hash_new_password: HashNewPassword
    clock: Clock

    async def __call__(self, *, email: Email, password: Password | None) -> User:
        password_hash = await self.hash_new_password(password) if password else None
        now = self.clock.now()
        async with self.begin() as work:
            user = await work.users.find_by_email(email)
            if user is None:
                if password_hash is None:
                    raise ValueError("a new account needs a password")
                user = User(email=email, password_hash=password_hash, created_at=now, updated_at=now)
                user.is_superuser = user.is_verified = True
                return await work.users.add(user)
            user.is_superuser = user.is_active = True
            if password_hash is None:
                await work.users.save(user)
            else:
                await set_password(work, user, password_hash, keep_session=None)
            return user


@dataclass(frozen=True)
class GetUser:
    """Raises `NotEnoughPrivileges` or, to a superuser, `UserNotFound`."""

    reads: Reads

    async def __call__(self, actor: Actor, user_id: int) -> User:
        actor.must_be_self_or_superuser(user_id)
        return await self.reads.user(user_id)


@dataclass(frozen=True)
class ListUsers:
    """All accounts, newest first; `q` is words, each of which the address or the name contains.

    Raises `NotEnoughPrivileges`.
    """

    reads: Reads

    async def __call__(
        self, actor: Actor, request: PageRequest, *, q: str | None, is_active: bool | None
    ) -> Page[User]:
        actor.must_be_superuser()
        return await self.reads.users(request, words=words(q), is_active=is_active)


@dataclass(frozen=True)
class RenameUser:
    """Change one's own name.

    Raises `InvalidAccessToken` when the account was deleted meanwhile, `ValueError` for a name that breaks the rules.
    """

    begin: Begin

    async def __call__(self, actor: Actor, *, full_name: str | None) -> User:
        async with self.begin() as work:
            user = await own_account(work, actor)
            user.edit(UserChange(rename=True, full_name=full_name))
            await work.users.save(user)
            return user


@dataclass(frozen=True)
class UpdateUser:
    """Change any account. A new address counts as unverified, and the verification mail goes to it. With that, as
    with deactivation, a mailed link that could take the account to yet another address dies.

    Raises `NotEnoughPrivileges`, `UserNotFound`, `EmailTaken`, `LastSuperuser`, or `ValueError` for a name that breaks
    the rules.
    """

    begin: Begin

    async def __call__(self, actor: Actor, user_id: int, change: UserChange) -> User:
        actor.must_be_superuser()
        async with self.begin() as work:
            superusers = await work.users.lock_active_superusers()
            user = await work.users.get(user_id)
            old_email = user.email
            user.edit(change)
            if not user.administers:
                must_leave_a_superuser(superusers, without=user.id)
            await work.users.save(user)
            if user.email != old_email or not user.is_active:
                await work.mailed_tokens.supersede(user.id, Purpose.CHANGE_EMAIL)
            if user.email != old_email:
                work.announce(VerificationRequested(user.email))
            return user


async def _delete(work: Work, user_id: int, superusers: Collection[int]) -> None:
    must_leave_a_superuser(superusers, without=user_id)
    await work.users.delete(user_id)
    work.announce(UserDeleted(user_id))


@dataclass(frozen=True)
class DeleteUser:
    """Remove any account with all that is theirs. Raises `NotEnoughPrivileges`, `UserNotFound` or `LastSuperuser`."""

    begin: Begin

    async def __call__(self, actor: Actor, user_id: int) -> None:
        actor.must_be_superuser()
        async with self.begin() as work:
            await _delete(work, user_id, await work.users.lock_active_superusers())


@dataclass(frozen=True)
class DeleteOwnAccount:
    """Remove one's own account with all that is one's own.

    Raises `WrongPassword`, `LastSuperuser`, `TooManyAttempts`, or `InvalidAccessToken` when the account was deleted
    meanwhile.
    """

    begin: Begin
    confirm_password: ConfirmPassword

    async def __call__(self, actor: Actor, *, password: Password) -> None:
        await self.confirm_password(actor, password)
        async with self.begin() as work:
            superusers = await work.users.lock_active_superusers()  # first: they are locked in their order
            user = await self.confirm_password.still_holds(work, actor)
            await _delete(work, user.id, superusers)


@dataclass(frozen=True)
class PingUser:
    """Note that a user is there; `last_active` follows in the background, and once a minute at most.

    Raises `NotEnoughPrivileges` or, to a superuser, `UserNotFound`.
    """

    begin: Begin
    reads: Reads
    clock: Clock

    async def __call__(self, actor: Actor, user_id: int) -> None:
        actor.must_be_self_or_superuser(user_id)
        user = actor.user if user_id == actor.user.id else await self.reads.user(user_id)
        now = self.clock.now()
        if not user.was_active_lately(now):
            async with self.begin() as work:
                work.announce(UserPinged(user_id, at=now.isoformat()))


@dataclass(frozen=True)
class RecordActivity:
    """The reaction to `UserPinged`."""

    begin: Begin

    async def __call__(self, job: Job) -> None:
        async with self.begin() as work:
            await work.users.record_activity(job.payload["user_id"], datetime.fromisoformat(job.payload["at"]))
