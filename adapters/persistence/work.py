"""The transaction that a use case works in, and the look-ups outside of one."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import literal, select

from adapters.persistence import changes
from adapters.persistence.blobs import SqlBlobs, unused_blobs
from adapters.persistence.changes import SqlChanges
from adapters.persistence.database import JOBS, Database, Transaction
from adapters.persistence.files import SqlFiles, bytes_used_by, find_file, find_newest, page_of_files
from adapters.persistence.idempotency import SqlKeptAnswers, find_kept_answer
from adapters.persistence.imports import SqlImports, find_import
from adapters.persistence.items import SqlItems, find_item, page_of_items
from adapters.persistence.jobs import hold, write_down
from adapters.persistence.mailed_tokens import SqlMailedTokens, find_mailed_token
from adapters.persistence.resumable import SqlResumableUploads, find_upload, parts_of
from adapters.persistence.sessions import SqlSessions, identify, live_sessions, sessions_of
from adapters.persistence.statements import Statement
from adapters.persistence.tasks import SqlTasks, find_task, page_of_tasks
from adapters.persistence.thumbnails import SqlThumbnails, find_thumbnail
from adapters.persistence.users import BY_EMAIL, BY_ID, SqlUsers, page_of_users, user_of
from application.changes import change_of
from application.ports.clock import Clock
from application.ports.jobs import Job, NewJob
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
from application.ports.realtime import Change, NewChange, Show
from application.reactions import jobs_for
from domain.events import Event
from domain.files import File
from domain.idempotency import KeptAnswer
from domain.images import Thumbnail, ThumbnailSize
from domain.imports import Import
from domain.items import Item, ItemSort
from domain.mailed_tokens import MailedToken
from domain.pages import Page, PageRequest
from domain.resumable import ResumableUpload, UploadPart
from domain.sessions import Session
from domain.tasks import Task
from domain.users import Email, User, UserId, UserNotFound

PING: Final = Statement(select(literal(1)))


class SqlWork:
    """Implements `Work`."""

    def __init__(self, transaction: Transaction, clock: Clock, show: Show) -> None:
        self.users: Users = SqlUsers(transaction, clock)
        self.sessions: Sessions = SqlSessions(transaction)
        self.mailed_tokens: MailedTokens = SqlMailedTokens(transaction)
        self.items: Items = SqlItems(transaction)
        self.files: Files = SqlFiles(transaction)
        self.blobs: Blobs = SqlBlobs(transaction)
        self.resumable_uploads: ResumableUploads = SqlResumableUploads(transaction)
        self.thumbnails: Thumbnails = SqlThumbnails(transaction)
        self.tasks: Tasks = SqlTasks(transaction)
        self.imports: Imports = SqlImports(transaction)
        self.kept_answers: KeptAnswers = SqlKeptAnswers(transaction)
        self.changes: Changes = SqlChanges(transaction)
        self._show = show
        self._transaction = transaction
        self.announced: list[NewJob] = []
        self.shown: list[NewChange] = []

    def announce(self, event: Event) -> None:
        self.announced += jobs_for(event)
        change = change_of(event, self._show)
        if change is not None:
            self.shown.append(change)

    async def hold(self, job: Job) -> None:
        await hold(self._transaction, job)


@asynccontextmanager
async def begin(
    database: Database, clock: Clock, show: Show, changed: Callable[[Collection[int]], None]
) -> AsyncIterator[SqlWork]:
    """Opens a transaction: with all but the block bound, a `Begin`. `changed` is told whose things were, once it is
    committed."""
    async with database.transaction() as transaction:
        work = SqlWork(transaction, clock, show)
        yield work
        if work.announced:
            write_down(transaction, work.announced)
        if work.shown:
            changes.write_down(transaction, work.shown)
    if work.announced:
        database.signal(JOBS)
    if work.shown:
        changed({change.user_id for change in work.shown})


class SqlReads:
    """Implements `Reads`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def identify(self, session_id: str) -> tuple[User, datetime] | None:
        return await identify(self._database, session_id)

    async def user(self, user_id: int) -> User:
        row = await self._database.first(BY_ID, user_id=user_id)
        if row is None:
            raise UserNotFound
        return user_of(row)

    async def user_by_email(self, email: Email) -> User | None:
        row = await self._database.first(BY_EMAIL, email=email)
        return user_of(row) if row else None

    async def users(self, request: PageRequest, *, words: Sequence[str], is_active: bool | None) -> Page[User]:
        return await page_of_users(self._database, request, words=words, is_active=is_active)

    async def sessions_of(self, user_id: int) -> Sequence[Session]:
        return await sessions_of(self._database, user_id, self._clock.now())

    async def mailed_token(self, token_hash: str) -> MailedToken | None:
        return await find_mailed_token(self._database, token_hash)

    async def item(self, item_id: int) -> Item:
        return await find_item(self._database, item_id)

    async def items(self, owner_id: int, request: PageRequest, *, sort: ItemSort, words: Sequence[str]) -> Page[Item]:
        return await page_of_items(self._database, owner_id, request, sort=sort, words=words)

    async def file(self, file_id: int) -> File:
        return await find_file(self._database, file_id)

    async def newest_file(self, owner_id: int, filename: str) -> File:
        return await find_newest(self._database, owner_id, filename)

    async def files(self, owner_id: int, request: PageRequest) -> Page[File]:
        return await page_of_files(self._database, owner_id, request)

    async def bytes_used_by(self, owner_id: int) -> int:
        return await bytes_used_by(self._database, owner_id)

    async def unused_blobs(self, *, claimed_before: datetime, after: str, limit: int) -> Sequence[str]:
        return await unused_blobs(self._database, claimed_before=claimed_before, after=after, limit=limit)

    async def resumable_upload(self, upload_id: str) -> ResumableUpload:
        return await find_upload(self._database, upload_id)

    async def parts_of(self, upload_id: str) -> Sequence[UploadPart]:
        return await parts_of(self._database, upload_id)

    async def thumbnail(self, source: str, fits: ThumbnailSize) -> Thumbnail | None:
        return await find_thumbnail(self._database, source, fits)

    async def task(self, task_id: str) -> Task:
        return await find_task(self._database, task_id)

    async def tasks(self, owner_id: int, request: PageRequest) -> Page[Task]:
        return await page_of_tasks(self._database, owner_id, request)

    async def import_of(self, file_id: int) -> Import:
        return await find_import(self._database, file_id)

    async def kept_answer(self, user_id: UserId, key: str) -> KeptAnswer | None:
        return await find_kept_answer(self._database, user_id, key)

    async def changes_after(self, positions: Mapping[int, int], *, limit: int) -> Sequence[Change]:
        return await changes.changes_after(self._database, positions, limit=limit)

    async def changes_in(self, user_id: int, channel: str, *, after: int, limit: int) -> Sequence[Change]:
        return await changes.changes_in(self._database, user_id, channel, after=after, limit=limit)

    async def last_change(self, user_id: int) -> int:
        return await changes.last_change(self._database, user_id)

    async def has_change(self, user_id: int, channel: str, change_id: int, *, within: timedelta) -> bool:
        return await changes.has_change(self._database, user_id, channel, change_id, within=within)

    async def live_sessions(self, session_ids: Collection[str]) -> Collection[str]:
        return await live_sessions(self._database, session_ids, self._clock.now())

    async def ping(self) -> None:
        await self._database.first(PING)
