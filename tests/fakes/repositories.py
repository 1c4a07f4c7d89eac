"""The repositories of a transaction in memory. Entities are copied on their way in and out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count

from application.ports.clock import Clock
from application.ports.realtime import Change
from domain.files import Claim, Doom, File
from domain.idempotency import KeptAnswer
from domain.images import Thumbnail
from domain.imports import Import
from domain.items import Item
from domain.mailed_tokens import MailedToken, Purpose
from domain.resumable import ResumableUpload, UploadPart
from domain.sessions import RefreshToken, Session
from domain.tasks import Task
from domain.users import Email, EmailTaken, User, UserId, UserNotFound


@dataclass
class Tables:
    """Everything that is kept. The ids to come are not copied: none is given twice, after a rollback neither."""

    users: dict[int, User] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    mailed_tokens: dict[str, MailedToken] = field(default_factory=dict)
    items: dict[int, Item] = field(default_factory=dict)
    answers: dict[tuple[int, str], tuple[KeptAnswer, datetime]] = field(default_factory=dict)
    """With the time since when each is kept."""
    changes: dict[int, tuple[Change, datetime]] = field(default_factory=dict)
    files: dict[int, File] = field(default_factory=dict)
    blobs: dict[str, int] = field(default_factory=dict)
    """The size of what is stored under a hash."""
    claims: dict[str, Claim] = field(default_factory=dict)
    dooms: dict[str, Doom] = field(default_factory=dict)
    """Also those that are over."""
    uploads: dict[str, ResumableUpload] = field(default_factory=dict)
    upload_parts: dict[str, tuple[UploadPart, ...]] = field(default_factory=dict)
    thumbnails: dict[tuple[str, int], Thumbnail] = field(default_factory=dict)
    """By their source and the square that they fit."""
    tasks: dict[str, Task] = field(default_factory=dict)
    imports: dict[int, Import] = field(default_factory=dict)
    user_ids: Iterator[int] = field(default_factory=lambda: count(1))
    item_ids: Iterator[int] = field(default_factory=lambda: count(1))
    file_ids: Iterator[int] = field(default_factory=lambda: count(1))
    task_numbers: Iterator[int] = field(default_factory=lambda: count(1))
    change_ids: Iterator[int] = field(default_factory=lambda: count(1))

    def copy(self) -> "Tables":
        return Tables(
            {key: replace(user) for key, user in self.users.items()},
            {key: replace(session) for key, session in self.sessions.items()},
            {key: replace(token) for key, token in self.refresh_tokens.items()},
            {key: replace(token) for key, token in self.mailed_tokens.items()},
            {key: replace(item) for key, item in self.items.items()},
            dict(self.answers),
            dict(self.changes),
            {key: replace(file) for key, file in self.files.items()},
            dict(self.blobs),
            dict(self.claims),
            dict(self.dooms),
            {key: replace(upload) for key, upload in self.uploads.items()},
            dict(self.upload_parts),
            dict(self.thumbnails),
            {key: replace(task) for key, task in self.tasks.items()},
            {key: replace(state, errors=[*state.errors]) for key, state in self.imports.items()},
            self.user_ids,
            self.item_ids,
            self.file_ids,
            self.task_numbers,
            self.change_ids,
        )

    def remove_sessions(self, ends: Callable[[Session], bool]) -> int:
        """Remove those sessions with their refresh tokens; how many sessions there were."""
        ended = {key for key, session in self.sessions.items() if ends(session)}
        for key in ended:
            del self.sessions[key]
        self.refresh_tokens = {k: t for k, t in self.refresh_tokens.items() if t.session_id not in ended}
        return len(ended)


@dataclass
class InMemoryUsers:
    tables: Callable[[], Tables]
    clock: Clock

    async def add(self, user: User) -> User:
        self._must_be_free(user.email, but=None)
        added = replace(user, id=UserId(next(self.tables().user_ids)))
        self.tables().users[added.id] = added
        return replace(added)

    async def get(self, user_id: int) -> User:
        if user_id not in self.tables().users:
            raise UserNotFound
        return replace(self.tables().users[user_id])

    async def find_by_email(self, email: Email) -> User | None:
        return next((replace(user) for user in self.tables().users.values() if user.email == email), None)

    async def save(self, user: User) -> None:
        await self.get(user.id)
        self._must_be_free(user.email, but=user.id)
        user.updated_at = self.clock.now()
        self.tables().users[user.id] = replace(user)

    async def delete(self, user_id: int) -> None:
        await self.get(user_id)
        tables = self.tables()
        del tables.users[user_id]
        tables.remove_sessions(lambda session: session.user_id == user_id)
        tables.mailed_tokens = {k: token for k, token in tables.mailed_tokens.items() if token.user_id != user_id}

    async def lock_active_superusers(self) -> set[int]:
        return {user.id for user in self.tables().users.values() if user.administers}

    async def record_activity(self, user_id: int, at: datetime) -> None:
        user = self.tables().users.get(user_id)
        if user is not None and not user.was_active_lately(at):
            user.last_active = at

    async def record_activities(self, user_ids: Sequence[UserId], at: datetime) -> None:
        for user_id in user_ids:
            await self.record_activity(user_id, at)

    def _must_be_free(self, email: Email, *, but: int | None) -> None:
        if any(user.email == email and user.id != but for user in self.tables().users.values()):
            raise EmailTaken


@dataclass
class InMemorySessions:
    tables: Callable[[], Tables]

    async def add(self, session: Session) -> None:
        self.tables().sessions[session.id] = replace(session)

    async def save(self, session: Session) -> None:
        if session.id in self.tables().sessions:
            self.tables().sessions[session.id] = replace(session)

    async def find_by_refresh_token(self, token_hash: str) -> tuple[Session, RefreshToken] | None:
        token = self.tables().refresh_tokens.get(token_hash)
        return None if token is None else (replace(self.tables().sessions[token.session_id]), replace(token))

    async def add_refresh_token(self, token: RefreshToken) -> None:
        self.tables().refresh_tokens[token.token_hash] = replace(token)

    async def mark_spent(self, token: RefreshToken) -> None:
        stored = self.tables().refresh_tokens.get(token.token_hash)
        if stored is not None:
            stored.spent_at = token.spent_at

    async def revoke(self, session_id: str, user_id: UserId) -> bool:
        return self.tables().remove_sessions(lambda s: s.id == session_id and s.user_id == user_id) > 0

    async def revoke_all(self, user_id: UserId, *, but: str | None = None) -> None:
        self.tables().remove_sessions(lambda session: session.user_id == user_id and session.id != but)

    async def sweep(self, now: datetime, *, limit: int) -> int:
        tables = self.tables()
        expired = [key for key, session in tables.sessions.items() if session.expires_at <= now][:limit]
        removed = tables.remove_sessions(lambda session: session.id in expired)
        spent = [key for key, token in tables.refresh_tokens.items() if token.expires_at <= now][:limit]
        for key in spent:
            del tables.refresh_tokens[key]
        return removed + len(spent)


@dataclass
class InMemoryMailedTokens:
    tables: Callable[[], Tables]

    async def replace(self, token: MailedToken) -> bool:
        stored = self.tables().mailed_tokens.get(token.token_hash)
        if stored is not None and stored.dead:
            return False
        if stored is not None:
            stored.expires_at = token.expires_at
            return True
        await self.supersede(token.user_id, token.purpose)
        self.tables().mailed_tokens[token.token_hash] = replace(token)
        return True

    async def find(self, token_hash: str) -> MailedToken | None:
        token = self.tables().mailed_tokens.get(token_hash)
        return None if token is None else replace(token)

    async def mark_dead(self, token: MailedToken) -> None:
        stored = self.tables().mailed_tokens.get(token.token_hash)
        if stored is not None:
            stored.dead = True

    async def supersede(self, user_id: UserId, purpose: Purpose) -> None:
        for token in self.tables().mailed_tokens.values():
            if token.user_id == user_id and token.purpose is purpose:
                token.dead = True

    async def sweep(self, now: datetime, *, limit: int) -> int:
        tables = self.tables()
        expired = [key for key, token in tables.mailed_tokens.items() if token.expires_at <= now][:limit]
        for key in expired:
            del tables.mailed_tokens[key]
        return len(expired)
