"""Signing in, staying signed in, signing out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.activity import Activity
from application.ports.clock import Clock
from application.ports.persistence import Begin, Reads, Work
from application.ports.security import AccessTokens, PasswordHasher, Secrets
from application.ports.throttle import Throttle
from domain.passwords import Password
from domain.sessions import (
    InvalidAccessToken,
    InvalidRefreshToken,
    RefreshToken,
    RefreshTokenReused,
    Session,
    SessionNotFound,
)
from domain.throttle import Limit, counted_as
from domain.users import Actor, Email, InactiveUser, InvalidCredentials, User, UserNotFound


@dataclass(frozen=True, slots=True)
class Device:
    """What signed in, as far as the request told."""

    ip: str
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    expires_in: int
    """Seconds."""
    refresh_token: str


@dataclass(frozen=True)
class Authenticate:
    """Who is behind an access token.

    A revoked session, a deactivated or deleted user and a changed password show at once: one query answers for all.
    Raises `InvalidAccessToken` or `InactiveUser`.
    """

    tokens: AccessTokens
    reads: Reads
    clock: Clock
    activity: Activity

    async def __call__(self, token: str) -> Actor:
        claims = self.tokens.verify(token)
        found = await self.reads.identify(claims.session_id)
        if found is None:
            raise InvalidAccessToken
        user, session_ends = found
        now = self.clock.now()
        if user.id != claims.user_id or session_ends <= now:
            raise InvalidAccessToken
        if not user.is_active:
            raise InactiveUser
        self.activity.note(user, now)
        return Actor(user, claims.session_id)


async def own_account(work: Work, actor: Actor) -> User:
    """The account of whoever is asking, as it is now; nobody else can change it until the transaction ends.

    Raises `InvalidAccessToken` if it was deleted since they were authenticated.
    """
    try:
        return await work.users.get(actor.user.id)
    except UserNotFound:
        raise InvalidAccessToken from None


@dataclass(frozen=True)
class IssueTokens:
    """A new pair for a session, inside the transaction that opens or renews it."""

    tokens: AccessTokens
    secrets: Secrets

    async def __call__(self, work: Work, session: Session) -> TokenPair:
        refresh_token = self.secrets.new()
        await work.sessions.add_refresh_token(
            RefreshToken(
                token_hash=self.secrets.hash(refresh_token), session_id=session.id, expires_at=session.expires_at
            )
        )
        access_token = self.tokens.issue(session.user_id, session.id)
        return TokenPair(access_token, self.tokens.lifetime_seconds, refresh_token)


@dataclass(frozen=True)
class SignIn:
    """Open a session with an address and its password.

    Raises `InvalidCredentials`, after the same time and in the same words whichever of the two is wrong;
    `InactiveUser` only to one who knows the password; `TooManyAttempts` after too many failures.
    """

    begin: Begin
    reads: Reads
    hasher: PasswordHasher
    throttle: Throttle
    issue_tokens: IssueTokens
    secrets: Secrets
    clock: Clock
    session_lifetime: timedelta

    async def __call__(self, *, email: str, password: Password, device: Device) -> TokenPair:
        for _ in range(2):  # once more if another sign-in made the hash anew meanwhile
            user = await self._authenticated(email, password, device)
            new_hash = await self.hasher.hash(password) if self.hasher.is_outdated(user.password_hash) else None
            pair = await self._open_session(user, new_hash, device)
            if pair is not None:
                return pair
        raise InvalidCredentials

    async def _open_session(self, user: User, new_hash: str | None, device: Device) -> TokenPair | None:
        """None if the account is no longer what it was when the password was checked."""
        now = self.clock.now()
        session = Session(
            id=self.secrets.new_id(),
            user_id=user.id,
            created_at=now,
            last_used_at=now,
            expires_at=now + self.session_lifetime,
            user_agent=device.user_agent,
            ip=device.ip,
        )
        async with self.begin() as work:
            current = await work.users.find_by_email(user.email)
            if current is None or not current.is_active or current.password_hash != user.password_hash:
                return None
            if new_hash is not None:
                current.password_hash = new_hash
                await work.users.save(current)
            await work.sessions.add(session)
            return await self.issue_tokens(work, session)

    async def _authenticated(self, email: str, password: Password, device: Device) -> User:
        account = _account(email)
        client = counted_as(device.ip)
        both = (Limit.SIGN_IN_ADDRESS_AND_ACCOUNT, client, account or email)
        address = (Limit.SIGN_IN_ADDRESS, client)
        await self._check(both, address)
        user = await self.reads.user_by_email(account) if account else None
        right = await self.hasher.verify(password, user.password_hash if user else None)
        if user is None or not right:
            await self.throttle.spend(*address)
            await self.throttle.spend(*both)
            raise InvalidCredentials
        # Guesses that were waiting for their turn at the hasher don't count as having been in time.
        await self._check(both, address)
        if not user.is_active:
            raise InactiveUser
        return user

    async def _check(self, *spendings: tuple[Limit, *tuple[str, ...]]) -> None:
        for limit, *key in spendings:
            await self.throttle.check(limit, *key)


def _account(email: str) -> Email | None:
    """The address of the account that is meant, if it is an address at all."""
    try:
        return Email(email)
    except ValueError:
        return None


@dataclass(frozen=True)
class RefreshSession:
    """Spend a refresh token for a new pair.

    Raises `InvalidRefreshToken`, `InactiveUser`, or `RefreshTokenReused`, after which the session is gone.
    """

    begin: Begin
    issue_tokens: IssueTokens
    secrets: Secrets
    clock: Clock
    session_lifetime: timedelta

    async def __call__(self, refresh_token: str) -> TokenPair:
        async with self.begin() as work:
            found = await work.sessions.find_by_refresh_token(self.secrets.hash(refresh_token))
            if found is None:
                raise InvalidRefreshToken
            session, token = found
            now = self.clock.now()
            try:
                token.spend(now)
            except RefreshTokenReused as reused:
                await work.sessions.revoke(session.id, session.user_id)
                refusal = reused  # raised only after the commit: the revocation must outlive the error
            else:
                if not (await work.users.get(session.user_id)).is_active:
                    raise InactiveUser
                await work.sessions.mark_spent(token)
                session.renew(now=now, lifetime=self.session_lifetime)
                await work.sessions.save(session)
                return await self.issue_tokens(work, session)
        raise refusal


@dataclass(frozen=True)
class ListSessions:
    """One's own live sessions, last used first."""

    reads: Reads

    async def __call__(self, actor: Actor) -> Sequence[Session]:
        return await self.reads.sessions_of(actor.user.id)


@dataclass(frozen=True)
class RevokeSession:
    """Sign one of one's own sessions out. Raises `SessionNotFound`, for another user's session too."""

    begin: Begin

    async def __call__(self, actor: Actor, session_id: str) -> None:
        async with self.begin() as work:
            if not await work.sessions.revoke(session_id, actor.user.id):
                raise SessionNotFound


@dataclass(frozen=True)
class RevokeOtherSessions:
    """Sign out all of one's own sessions but this one."""

    begin: Begin

    async def __call__(self, actor: Actor) -> None:
        async with self.begin() as work:
            await work.sessions.revoke_all(actor.user.id, but=actor.session_id)
