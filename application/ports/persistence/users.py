"""The accounts, as they are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from domain.users import Email, User, UserId

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
        """Move `last_active` forward to `at`, unless the user was active lately. Never back, and no error if the user
        is gone."""

    async def record_activities(self, user_ids: Sequence[UserId], at: datetime) -> None:
        """Move `last_active` of up to `MOST_ACTIVITIES` users forward to `at`, but for those who were active lately.

        Waits for nobody: a user whom another transaction is changing is left out.
        """
