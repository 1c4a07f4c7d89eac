"""Items: things that belong to one account, and that nobody else knows of."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

from domain.errors import NotFound, PreconditionFailed
from domain.pages import Key
from domain.users import Actor, UserId

ItemId = NewType("ItemId", int)

LONGEST_TITLE: Final = 255
LONGEST_DESCRIPTION: Final = 10_000
"""Characters."""


class ItemNotFound(NotFound):
    code = "item_not_found"
    message = "Item not found"


class VersionMismatch(PreconditionFailed):
    code = "version_mismatch"
    message = "The item has changed meanwhile. Please fetch it again"


def valid_title(text: str) -> str:
    """The title. Raises `ValueError` unless it is 1 to 255 characters and not blank."""
    if not text.strip() or len(text) > LONGEST_TITLE:
        raise ValueError(f"A title must be 1 to {LONGEST_TITLE} characters long and not blank")
    return text


def valid_description(text: str | None) -> str | None:
    """The description, if there is one. Raises `ValueError` when it is longer than 10,000 characters."""
    if text is not None and len(text) > LONGEST_DESCRIPTION:
        raise ValueError(f"A description must be at most {LONGEST_DESCRIPTION} characters long")
    return text


@dataclass(frozen=True, slots=True)
class ItemChange:
    """What is to be different; a title of None stays as it is, and so does the description unless `describe`."""

    title: str | None = None
    describe: bool = False
    description: str | None = None


@dataclass(kw_only=True, slots=True)
class Item:
    """Something of somebody's. Its id is 0 until the repository gives it one."""

    id: ItemId = ItemId(0)
    title: str
    description: str | None = None
    owner_id: UserId
    version: int = 1
    """One more with each change."""
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        valid_title(self.title)
        valid_description(self.description)

    def must_belong_to(self, actor: Actor) -> None:
        """Raises `ItemNotFound` for anybody else, superusers too."""
        if self.owner_id != actor.user.id:
            raise ItemNotFound

    def must_be_at_one_of(self, versions: Collection[int] | None) -> None:
        """Raises `VersionMismatch` unless the item is at one of these versions. None demands nothing."""
        if versions is not None and self.version not in versions:
            raise VersionMismatch

    def edit(self, change: ItemChange, now: datetime) -> None:
        """Make the change, which is a new version. Raises `ValueError` for a text that breaks the rules."""
        if change.title is not None:
            self.title = valid_title(change.title)
        if change.describe:
            self.description = valid_description(change.description)
        self.version += 1
        self.updated_at = now


class ItemSort(StrEnum):
    """What a list of items is sorted by; `-` is falling. Equals follow by their id, in the same direction."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    LAST_UPDATED = "-updated_at"
    FIRST_UPDATED = "updated_at"
    TITLE = "title"
    TITLE_FALLING = "-title"

    @property
    def field(self) -> str:
        return self.value.removeprefix("-")

    @property
    def falling(self) -> bool:
        return self.value.startswith("-")

    def key(self, item: Item) -> Key:
        """Where the item stands in the list. Titles are compared by code points."""
        return (getattr(item, self.field), item.id)
