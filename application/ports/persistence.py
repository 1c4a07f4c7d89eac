"""What is kept, and the transaction it is kept by."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Final, Protocol

from application.ports.jobs import Job
from application.ports.realtime import Change
from domain.events import Event
from domain.files import Claim, File
from domain.idempotency import KeptAnswer
from domain.images import Thumbnail, ThumbnailSize
from domain.imports import Import
from domain.items import Item, ItemSort
from domain.mailed_tokens import MailedToken, Purpose
from domain.pages import Page, PageRequest
from domain.resumable import ResumableUpload, UploadPart
from domain.sessions import RefreshToken, Session
from domain.tasks import Task, TaskId
from domain.users import Actor, Email, User, UserId

MOST_ACTIVITIES: Final = 100
"""Users whose activity is recorded at once."""


class Users(Protocol):
    """The accounts, inside a transaction. `get` and `find_by_email` keep others from changing the row until it ends."""

    async def add(self, user: User) -> User:
        """Store a new user and give it its id. Raises `EmailTaken`."""

    async def get(self, user_id: int) -> User:
        """Raises `UserNotFound`."""

    async def find_by_email(self, email: Email) -> User | None: ...

    async def save(self, user: User) -> None:
        """Write the user back, updated now. Raises `EmailTaken`."""

    async def delete(self, user_id: int) -> None:
        """Remove the user with all that is theirs. Raises `UserNotFound`."""

    async def lock_active_superusers(self) -> set[int]:
        """The ids of all active superusers; none of them can be changed by anyone else until this transaction ends."""

    async def record_activity(self, user_id: int, at: datetime) -> None:
        """Move `last_active` forward to `at`. Never back, and no error if the user is gone."""

    async def record_activities(self, user_ids: Sequence[UserId], at: datetime) -> None:
        """Move `last_active` of up to `MOST_ACTIVITIES` users forward to `at`, but for those who were active lately.

        Waits for nobody: a user whom another transaction is changing is left out.
        """


class Sessions(Protocol):
    """The sessions and their refresh tokens, inside a transaction."""

    async def add(self, session: Session) -> None: ...

    async def save(self, session: Session) -> None: ...

    async def find_by_refresh_token(self, token_hash: str) -> tuple[Session, RefreshToken] | None:
        """The token and its session, kept from others until this transaction ends, as their user is."""

    async def add_refresh_token(self, token: RefreshToken) -> None: ...

    async def mark_spent(self, token: RefreshToken) -> None: ...

    async def revoke(self, session_id: str, user_id: UserId) -> bool:
        """End that session of that user; False if there is none."""

    async def revoke_all(self, user_id: UserId, *, but: str | None = None) -> None:
        """End all sessions of that user, but one if it is named."""

    async def sweep(self, now: datetime, *, limit: int) -> int:
        """Remove up to `limit` sessions and as many refresh tokens that have expired; how many there were."""


class MailedTokens(Protocol):
    async def replace(self, token: MailedToken) -> bool:
        """Make this the only live one of its user and purpose.

        One that was stored before and is still live takes the new expiry; one that is dead by now, used or
        superseded, stays dead: False.
        """

    async def find(self, token_hash: str) -> MailedToken | None:
        """The token, kept from others until this transaction ends, as its user is."""

    async def mark_dead(self, token: MailedToken) -> None: ...

    async def supersede(self, user_id: UserId, purpose: Purpose) -> None:
        """No token of that user and purpose is live any more."""

    async def sweep(self, now: datetime, *, limit: int) -> int:
        """Remove up to `limit` tokens that have expired; how many there were."""


class Items(Protocol):
    """The items, inside a transaction. `get` keeps others from changing the row until it ends."""

    async def add(self, item: Item) -> Item:
        """Store a new item and give it its id. Its owner can't be deleted until this transaction ends.

        Raises `InvalidAccessToken` if the owner is gone.
        """

    async def add_all(self, items: Sequence[Item]) -> Sequence[Item]:
        """As `add`, for many items of one owner at about the cost of one."""

    async def get(self, item_id: int) -> Item:
        """Raises `ItemNotFound`."""

    async def save(self, item: Item) -> None: ...

    async def delete(self, item_id: int) -> None: ...

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        """Remove up to `limit` items of that user; how many there were."""


class Files(Protocol):
    """The files, inside a transaction. `get` keeps others from changing the row until it ends."""

    async def used_by(self, owner_id: int) -> int:
        """The bytes that the files of that user take. Until this transaction ends, nobody else who asks gets an
        answer: of several uploads at once, each counts those before it.

        Raises `InvalidAccessToken` if the user is gone.
        """

    async def add(self, file: File) -> File:
        """Store a new file and give it its id. Its owner can't be deleted until this transaction ends, and its bytes
        must be claimed.

        Raises `InvalidAccessToken` if the owner is gone.
        """

    async def get(self, file_id: int) -> File:
        """Raises `FileNotFound`."""

    async def delete(self, file_id: int) -> None: ...

    async def delete_owned_by(self, user_id: int, *, limit: int) -> Sequence[File]:
        """Remove up to `limit` files of that user; which those were."""


class Blobs(Protocol):
    """Which bytes the store has, and who is about to use them, inside a transaction."""

    async def claim(self, claims: Sequence[Claim]) -> None:
        """Note that these bytes are about to be used. Waits for one who is just collecting some of them."""

    async def release(self, claims: Sequence[Claim]) -> int:
        """Remove the claims; how many of them were still there. Until this transaction ends, their bytes can't be
        forgotten."""

    async def forget(self, sha256: str, *, claimed_before: datetime) -> bool:
        """Forget these bytes, if nothing refers to them and no claim is as young as that: True. Until this
        transaction ends, nobody can claim them. Their thumbnails must have been removed.

        Older claims are what an upload that died left behind.
        """


class ResumableUploads(Protocol):
    """The uploads that are sent in several requests, inside a transaction, with their parts.

    `get` keeps others from changing the upload until it ends. Whoever also asks `Files.used_by` does that first.
    """

    async def add(self, upload: ResumableUpload) -> None:
        """Store a new upload. Its owner can't be deleted until this transaction ends.

        Raises `InvalidAccessToken` if the owner is gone.
        """

    async def get(self, upload_id: str) -> tuple[ResumableUpload, int]:
        """With the number of its parts. Raises `UploadNotFound`."""

    async def save(self, upload: ResumableUpload) -> None:
        """Write its offset and what became of it back."""

    async def add_parts(self, upload_id: str, parts: Sequence[UploadPart]) -> None: ...

    async def remove_parts(self, upload_id: str) -> None: ...

    async def received_by(self, owner_id: int) -> int:
        """The bytes that the unfinished uploads of that user take."""

    async def delete(self, upload_id: str) -> Sequence[UploadPart]:
        """Remove it; the parts it had."""

    async def delete_owned_by(self, user_id: int, *, limit: int) -> tuple[int, Sequence[UploadPart]]:
        """Remove up to `limit` uploads of that user; how many there were, and the parts they had."""

    async def sweep(self, created_before: datetime, *, limit: int) -> tuple[int, Sequence[UploadPart]]:
        """Remove up to `limit` uploads created at that time or earlier; likewise."""


class Thumbnails(Protocol):
    """The thumbnails, inside a transaction. One refers to its own bytes, and not to those that it was made of."""

    async def add(self, thumbnail: Thumbnail) -> None:
        """Note where it is stored; its bytes must be claimed. It takes the place of one of the same source
        that fits the same square.

        Raises `FileNotFound` if the bytes that it was made of are gone.
        """

    async def remove_of(self, source: str) -> Sequence[str]:
        """Remove what was made of these bytes, unless a file has them; the hashes that it is stored under. Until this
        transaction ends, nothing more is made of them."""


class Tasks(Protocol):
    """The tasks, inside a transaction. `get` keeps others from changing the row until it ends."""

    async def add(self, task: Task) -> Task:
        """Store a new task and give it its number. Its owner can't be deleted until this transaction ends.

        Raises `InvalidAccessToken` if the owner is gone.
        """

    async def get(self, task_id: str) -> Task:
        """Raises `TaskNotFound`."""

    async def save(self, task: Task) -> None: ...

    async def forsaken(self, *, limit: int) -> Sequence[TaskId]:
        """Tasks that have not ended and that no job will ever do: it died, or somebody took it out of the queue."""

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        """Remove up to `limit` tasks of that user; how many there were."""

    async def sweep(self, before: datetime, *, limit: int) -> int:
        """Remove up to `limit` tasks that ended at that time or earlier; how many there were."""


class Imports(Protocol):
    """How far files have been imported, inside a transaction. `get` keeps others away from it until that ends."""

    async def get(self, file_id: int) -> Import:
        """A new one, if nothing of that file has been imported."""

    async def save(self, state: Import) -> None: ...


class Answers(Protocol):
    """What was answered under an idempotency key, inside a transaction."""

    async def add(self, answer: KeptAnswer) -> None:
        """Keep the answer. Waits for a transaction that is doing so under the same key of the same user.

        Raises `AnswerAlreadyKept`; this transaction is then of no more use.
        """

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        """Remove up to `limit` answers that have been kept for so long, by the database's clock; how many there were.

        One host whose clock is wrong must not make the others do a thing twice.
        """


class Changes(Protocol):
    """What users are told of, inside a transaction. It is written down by `Work.announce`."""

    async def delete_of(self, user_id: int, *, limit: int) -> int:
        """Remove up to `limit` changes of that user; how many there were."""

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        """Look at the oldest `limit` changes, and remove those that are there for longer; how many there were."""


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
    answers: Answers
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


class Reads(Protocol):
    """What is looked up outside a transaction, each in one round trip."""

    async def identify(self, session_id: str) -> tuple[User, datetime] | None:
        """Whose session it is, and when that ends; None if it was revoked or its user is gone."""

    async def user(self, user_id: int) -> User:
        """Raises `UserNotFound`."""

    async def user_by_email(self, email: Email) -> User | None: ...

    async def users(self, request: PageRequest, *, words: Sequence[str], is_active: bool | None) -> Page[User]:
        """Newest first; each of the words is in the address or the name, in any case."""

    async def sessions_of(self, actor: Actor) -> Sequence[Session]:
        """The live sessions of that user, last used first."""

    async def mailed_token(self, token_hash: str) -> MailedToken | None: ...

    async def item(self, item_id: int) -> Item:
        """Raises `ItemNotFound`."""

    async def items(self, owner_id: int, request: PageRequest, *, sort: ItemSort, words: Sequence[str]) -> Page[Item]:
        """The items of that user; each of the words is in the title or the description, in any case."""

    async def file(self, file_id: int) -> File:
        """Raises `FileNotFound`."""

    async def newest_file(self, owner_id: int, filename: str) -> File:
        """That user's newest file of that name. Raises `FileNotFound`."""

    async def files(self, owner_id: int, request: PageRequest) -> Page[File]:
        """The files of that user, newest first."""

    async def bytes_used_by(self, owner_id: int) -> int:
        """What the files of that user take together."""

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

    async def answer(self, user_id: UserId, key: str) -> KeptAnswer | None:
        """What is kept under that key of that user."""

    async def changes_after(self, positions: Mapping[int, int], *, limit: int) -> Sequence[Change]:
        """The changes of each of these users beyond the id that they are at, lowest id first."""

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
