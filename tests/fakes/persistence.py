"""The store in memory: transactions one at a time, with a real rollback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from application.changes import change_of
from application.correlation import request_id
from application.ports.clock import Clock
from application.ports.jobs import Job, NewJob
from application.ports.persistence import Work
from application.ports.persistence.blobs import Blobs
from application.ports.persistence.changes import Changes
from application.ports.persistence.files import Files
from application.ports.persistence.idempotency import KeptAnswers
from application.ports.persistence.imports import Imports
from application.ports.persistence.items import Items
from application.ports.persistence.mailed_tokens import MailedTokens
from application.ports.persistence.resumable import ResumableUploads
from application.ports.persistence.sessions import Sessions
from application.ports.persistence.tasks import Tasks
from application.ports.persistence.thumbnails import Thumbnails
from application.ports.persistence.users import Users
from application.ports.realtime import Change, NewChange
from application.reactions import jobs_for
from domain.errors import Unavailable
from domain.events import Event
from domain.files import Claim, File, FileNotFound
from domain.idempotency import KeptAnswer
from domain.images import Thumbnail, ThumbnailSize
from domain.imports import Import
from domain.items import Item, ItemNotFound, ItemSort
from domain.mailed_tokens import MailedToken
from domain.pages import Page, PageRequest
from domain.resumable import ResumableUpload, UploadPart
from domain.search import folded
from domain.sessions import RefreshToken, Session
from domain.tasks import Task, TaskNotFound
from domain.users import Email, User, UserId, UserNotFound
from tests.fakes import transactions
from tests.fakes.changes import InMemoryChanges, beyond, show
from tests.fakes.files import InMemoryBlobs, InMemoryFiles, bytes_of, owned, page_of_files, unused
from tests.fakes.images import InMemoryThumbnails
from tests.fakes.items import InMemoryItems, InMemoryKeptAnswers, page_of
from tests.fakes.jobs import InMemoryJobs
from tests.fakes.repositories import InMemoryMailedTokens, InMemorySessions, InMemoryUsers, Tables
from tests.fakes.resumable import InMemoryResumableUploads, found_upload
from tests.fakes.tasks import InMemoryImports, InMemoryTasks, page_of_tasks


class InMemoryWork:
    """One `Work`: on copies, which take the place of what was there when it commits."""

    def __init__(self, tables: Tables, clock: Clock, now: Callable[[], datetime], queue: InMemoryJobs) -> None:
        self._tables: Tables | None = tables
        self._queue = queue
        self._held: list[str] = []
        self.announced: list[Event] = []
        self.jobs: list[tuple[NewJob, str | None]] = []
        self.users: Users = InMemoryUsers(self.tables, clock)
        self.sessions: Sessions = InMemorySessions(self.tables)
        self.mailed_tokens: MailedTokens = InMemoryMailedTokens(self.tables)
        self.items: Items = InMemoryItems(self.tables)
        self.kept_answers: KeptAnswers = InMemoryKeptAnswers(self.tables, now)
        self._changes = InMemoryChanges(self.tables, now)
        self.changes: Changes = self._changes
        self.shown: list[NewChange] = []
        self.files: Files = InMemoryFiles(self.tables)
        self.blobs: Blobs = InMemoryBlobs(self.tables, now)
        self.resumable_uploads: ResumableUploads = InMemoryResumableUploads(self.tables)
        self.thumbnails: Thumbnails = InMemoryThumbnails(self.tables)
        self.tasks: Tasks = InMemoryTasks(self.tables, queue)
        self.imports: Imports = InMemoryImports(self.tables)

    def tables(self) -> Tables:
        """Raises `RuntimeError` once the transaction has ended."""
        if self._tables is None:
            raise RuntimeError("the transaction has ended")
        return self._tables

    def announce(self, event: Event) -> None:
        self.tables()
        self.announced.append(event)
        self.jobs += [(job, request_id.get()) for job in jobs_for(event)]
        change = change_of(event, show)
        if change is not None:
            self.shown.append(change)

    def write_down_changes(self) -> None:
        self._changes.write_down(self.shown)

    async def hold(self, job: Job) -> None:
        self._queue.hold(job)
        self._held.append(job.id)

    def end(self) -> None:
        self._tables = None
        self._queue.let_go(self._held)


@dataclass
class InMemoryStore:
    """`store.begin` is a `Begin`, the store itself a `Reads`, `store.jobs` a `JobQueue`.

    `announced` are the events that were committed; `changed` is told whose things were. While `available` is False,
    everything raises `Unavailable`.
    """

    clock: Clock
    jobs: InMemoryJobs = field(default_factory=InMemoryJobs)
    announced: list[Event] = field(default_factory=list)
    changed: Callable[[Collection[int]], None] = lambda _: None
    available: bool = True
    ahead: timedelta = timedelta()
    """How far the store's own clock is ahead of the other one."""
    far: float = 0
    """Seconds that a question takes on its way."""
    _tables: Tables = field(default_factory=Tables)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Work]:
        await self._take_turns()
        work = InMemoryWork(self._tables.copy(), self.clock, self.now, self.jobs)
        token = transactions.holder.set(asyncio.current_task())
        try:
            yield work
            self._commit(work)
        finally:
            work.end()
            transactions.holder.reset(token)
            self._lock.release()

    async def _take_turns(self) -> None:
        transactions.must_be_outside_a_transaction("beginning a transaction")
        await self._answer()
        try:
            async with asyncio.timeout(10):
                await self._lock.acquire()
        except TimeoutError:
            raise Unavailable from None

    def now(self) -> datetime:
        """The time by the store's own clock."""
        return self.clock.now() + self.ahead

    def _commit(self, work: InMemoryWork) -> None:
        work.write_down_changes()
        self._tables = work.tables()
        self.announced += work.announced
        for job, under in work.jobs:
            self.jobs.write_down(job, under)
        if work.shown:
            self.changed({change.user_id for change in work.shown})

    async def _answer(self) -> None:
        """Let others have their turn, as a round trip does. Raises `Unavailable`."""
        await asyncio.sleep(self.far)
        if not self.available:
            raise Unavailable

    async def ping(self) -> None:
        await self._answer()

    async def identify(self, session_id: str) -> tuple[User, datetime] | None:
        await self._answer()
        session = self._tables.sessions.get(session_id)
        return None if session is None else (replace(self._tables.users[session.user_id]), session.expires_at)

    async def user(self, user_id: int) -> User:
        await self._answer()
        if user_id not in self._tables.users:
            raise UserNotFound
        return replace(self._tables.users[user_id])

    async def user_by_email(self, email: Email) -> User | None:
        await self._answer()
        return next((replace(user) for user in self._tables.users.values() if user.email == email), None)

    async def users(self, request: PageRequest, *, words: Sequence[str], is_active: bool | None) -> Page[User]:
        await self._answer()
        matching = [
            replace(user)
            for user in sorted(self._tables.users.values(), key=lambda user: user.id, reverse=True)
            if is_active in (None, user.is_active) and all(w in folded(user.email, user.full_name) for w in words)
        ]
        rest = matching[request.skip :]
        if request.after is not None:
            rest = [user for user in matching if (user.id,) < request.after]
        items = rest[: request.limit]
        return Page(
            items,
            total=len(matching) if request.after is None else None,
            next_key=(items[-1].id,) if len(rest) > len(items) > 0 else None,
        )

    async def sessions_of(self, user_id: int) -> Sequence[Session]:
        await self._answer()
        live = [
            replace(session)
            for session in self._tables.sessions.values()
            if session.user_id == user_id and session.expires_at > self.clock.now()
        ]
        return sorted(live, key=lambda session: session.last_used_at, reverse=True)

    async def mailed_token(self, token_hash: str) -> MailedToken | None:
        await self._answer()
        token = self._tables.mailed_tokens.get(token_hash)
        return None if token is None else replace(token)

    async def item(self, item_id: int) -> Item:
        await self._answer()
        if item_id not in self._tables.items:
            raise ItemNotFound
        return replace(self._tables.items[item_id])

    async def items(self, owner_id: int, request: PageRequest, *, sort: ItemSort, words: Sequence[str]) -> Page[Item]:
        await self._answer()
        return page_of(
            [item for item in self._tables.items.values() if item.owner_id == owner_id], request, sort, words
        )

    async def file(self, file_id: int) -> File:
        await self._answer()
        file = self._tables.files.get(file_id)
        if file is None or file.owner_id not in self._tables.users:
            raise FileNotFound
        return replace(file)

    async def newest_file(self, owner_id: int, filename: str) -> File:
        await self._answer()
        for file in owned(self._tables, owner_id):
            if file.filename == filename:
                return file
        raise FileNotFound

    async def files(self, owner_id: int, request: PageRequest) -> Page[File]:
        await self._answer()
        return page_of_files(owned(self._tables, owner_id), request)

    async def bytes_used_by(self, owner_id: int) -> int:
        await self._answer()
        return bytes_of(self._tables, owner_id)

    async def unused_blobs(self, *, claimed_before: datetime, after: str, limit: int) -> Sequence[str]:
        await self._answer()
        return [sha256 for sha256 in unused(self._tables, claimed_before) if sha256 > after][:limit]

    async def resumable_upload(self, upload_id: str) -> ResumableUpload:
        await self._answer()
        return found_upload(self._tables, upload_id)

    async def parts_of(self, upload_id: str) -> Sequence[UploadPart]:
        await self._answer()
        return self._tables.upload_parts.get(upload_id, ())

    async def thumbnail(self, source: str, fits: ThumbnailSize) -> Thumbnail | None:
        await self._answer()
        return self._tables.thumbnails.get((source, fits))

    async def task(self, task_id: str) -> Task:
        await self._answer()
        if task_id not in self._tables.tasks:
            raise TaskNotFound
        return replace(self._tables.tasks[task_id])

    async def tasks(self, owner_id: int, request: PageRequest) -> Page[Task]:
        await self._answer()
        return page_of_tasks(self._tables, owner_id, request)

    async def import_of(self, file_id: int) -> Import:
        await self._answer()
        state = self._tables.imports.get(file_id, Import(file_id=file_id))
        return replace(state, errors=[*state.errors])

    async def kept_answer(self, user_id: UserId, key: str) -> KeptAnswer | None:
        await self._answer()
        kept = self._tables.answers.get((user_id, key))
        return kept[0] if kept else None

    async def changes_after(self, positions: Mapping[int, int], *, limit: int) -> Sequence[Change]:
        await self._answer()
        return beyond(self._tables, positions, limit)

    async def changes_in(self, user_id: int, channel: str, *, after: int, limit: int) -> Sequence[Change]:
        await self._answer()
        return beyond(self._tables, {user_id: after}, limit, channel)

    async def last_change(self, user_id: int) -> int:
        await self._answer()
        return max((change.id for change, _ in self._tables.changes.values() if change.user_id == user_id), default=0)

    async def has_change(self, user_id: int, channel: str, change_id: int, *, within: timedelta) -> bool:
        await self._answer()
        found = self._tables.changes.get(change_id)
        if found is None or found[1] <= self.now() - within:
            return False
        return (found[0].user_id, found[0].channel) == (user_id, channel)

    async def live_sessions(self, session_ids: Collection[str]) -> Collection[str]:
        await self._answer()
        sessions, now = self._tables.sessions, self.clock.now()
        return {
            one.id
            for one in map(sessions.get, session_ids)
            if one is not None and one.expires_at > now and self._tables.users[one.user_id].is_active
        }

    @property
    def rows(self) -> Mapping[str, int]:
        """How many rows each table has."""
        return {name: len(table) for name, table in vars(self._tables).items() if isinstance(table, dict)}

    @property
    def blobs(self) -> Sequence[str]:
        """The hashes of all bytes that are accounted for, in order."""
        return sorted(self._tables.blobs)

    @property
    def claims(self) -> Sequence[Claim]:
        """All claims that are kept, old ones too."""
        return list(self._tables.claims.values())

    @property
    def refresh_tokens(self) -> Sequence[RefreshToken]:
        """All refresh tokens that are kept."""
        return [replace(token) for token in self._tables.refresh_tokens.values()]

    @property
    def sessions(self) -> Sequence[Session]:
        """All sessions that are kept, expired ones too."""
        return [replace(session) for session in self._tables.sessions.values()]

    @property
    def mailed_tokens(self) -> Sequence[MailedToken]:
        """All mailed tokens that are kept, dead ones too."""
        return [replace(token) for token in self._tables.mailed_tokens.values()]
