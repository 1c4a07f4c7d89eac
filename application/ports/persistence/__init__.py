"""What is kept, and the transaction it is kept by. Each noun has a module."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from application.ports.jobs import Job
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
from application.ports.realtime import Change
from domain.errors import Unavailable
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
from domain.users import Email, User, UserId

T = TypeVar("T")


class DatabaseFull(Unavailable):
    """There is no room left to write anything down; what was tried is undone."""


class Work(Protocol):
    """One transaction: leaving the block commits, an exception undoes all of it.

    The repositories work only inside the block.
    """

    users: Users
    sessions: Sessions
    mailed_tokens: MailedTokens
    items: Items
    files: Files
    blobs: Blobs
    resumable_uploads: ResumableUploads
    thumbnails: Thumbnails
    tasks: Tasks
    imports: Imports
    kept_answers: KeptAnswers
    changes: Changes

    def announce(self, event: Event) -> None:
        """Write the event down in this transaction, and what it shows; its reactions follow after the commit."""

    async def hold(self, job: Job) -> None:
        """Nobody else can take the job until this transaction ends, so what it writes is written by one worker only.

        Raises `LeaseLost` if somebody else has it already, or it was cancelled.
        """


Begin = Callable[[], AbstractAsyncContextManager[Work]]
"""Opens a transaction. Entering it, or the first thing done in it, raises `Unavailable` when the database can't be had
in time."""

Also = Callable[[Work, T], Awaitable[None]]
"""What a use case that makes a thing does with it last, inside its transaction, for the one who asked it to."""


class Reads(Protocol):
    """What is looked up outside a transaction, in one round trip: two for a page beyond the end, and for the changes of
    several users one more for each who has some."""

    async def identify(self, session_id: str) -> tuple[User, datetime] | None:
        """Whose session it is, and when that ends; None if it was revoked or its user is gone."""

    async def user(self, user_id: int) -> User:
        """Raises `UserNotFound`."""

    async def user_by_email(self, email: Email) -> User | None: ...

    async def users(self, request: PageRequest, *, words: Sequence[str], is_active: bool | None) -> Page[User]:
        """Newest first; each of the words is in the address or the name, in any case."""

    async def sessions_of(self, user_id: int) -> Sequence[Session]:
        """The live sessions of that user, last used first."""

    async def mailed_token(self, token_hash: str) -> MailedToken | None: ...

    async def item(self, item_id: int) -> Item:
        """Raises `ItemNotFound`."""

    async def items(self, owner_id: int, request: PageRequest, *, sort: ItemSort, words: Sequence[str]) -> Page[Item]:
        """The items of that user; each of the words is in the title or the description, in any case."""

    async def file(self, file_id: int) -> File:
        """Raises `FileNotFound`, also once its owner's account is deleted, and the file is about to be."""

    async def newest_file(self, owner_id: int, filename: str) -> File:
        """That user's newest file of that name. Raises `FileNotFound`."""

    async def files(self, owner_id: int, request: PageRequest) -> Page[File]:
        """The files of that user, newest first."""

    async def bytes_used_by(self, owner_id: int) -> int:
        """What the files and the unfinished resumable uploads of that user take together."""

    async def unused_blobs(self, *, claimed_before: datetime, after: str, limit: int) -> Sequence[str]:
        """Hashes that nothing refers to, without a claim as young as that, in order, from the first after `after`."""

    async def resumable_upload(self, upload_id: str) -> ResumableUpload:
        """Raises `UploadNotFound`."""

    async def parts_of(self, upload_id: str) -> Sequence[UploadPart]:
        """The parts of that upload in their order."""

    async def thumbnail(self, source: str, fits: ThumbnailSize) -> Thumbnail | None:
        """The thumbnail of these bytes, if it was made."""

    async def task(self, task_id: str) -> Task:
        """Raises `TaskNotFound`."""

    async def tasks(self, owner_id: int, request: PageRequest) -> Page[Task]:
        """The tasks of that user, newest first."""

    async def import_of(self, file_id: int) -> Import:
        """How far that file has been imported."""

    async def kept_answer(self, user_id: UserId, key: str) -> KeptAnswer | None:
        """What is kept under that key of that user."""

    async def changes_after(self, positions: Mapping[int, int], *, limit: int) -> Sequence[Change]:
        """Up to `limit` changes of each of these users beyond the id that they are at: each user's lowest id first."""

    async def changes_in(self, user_id: int, channel: str, *, after: int, limit: int) -> Sequence[Change]:
        """The changes of that user in that channel beyond an id, lowest id first."""

    async def last_change(self, user_id: int) -> int:
        """The greatest id of that user's changes; 0 if there is none."""

    async def has_change(self, user_id: int, channel: str, change_id: int, *, within: timedelta) -> bool:
        """Whether it is a change of that user in that channel, written down within that time."""

    async def live_sessions(self, session_ids: Collection[str]) -> Collection[str]:
        """Those of these sessions that have not ended, and whose user is active."""

    async def ping(self) -> None:
        """Return when the database answers. Raises `Unavailable`."""
