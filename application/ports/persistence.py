"""What is kept, and the transaction it is kept by."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

from application.ports.realtime import Change
from domain.events import Event
from domain.idempotency import KeptAnswer
from domain.items import Item, ItemSort
from domain.mailed_tokens import MailedToken, Purpose
from domain.pages import Page, PageRequest
from domain.sessions import RefreshToken, Session
from domain.users import Actor, Email, User, UserId


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

    async def get(self, item_id: int) -> Item:
        """Raises `ItemNotFound`."""

    async def save(self, item: Item) -> None: ...

    async def delete(self, item_id: int) -> None: ...

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        """Remove up to `limit` items of that user; how many there were."""


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
    answers: Answers
    changes: Changes

    def announce(self, event: Event) -> None:
        """Write the event down in this transaction, and what it shows; its reactions follow after the commit."""


Begin = Callable[[], AbstractAsyncContextManager[Work]]
"""Opens a transaction. Entering it raises `Unavailable` when the database can't be had in time."""


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
