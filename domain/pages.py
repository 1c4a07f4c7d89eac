"""Pages of a list: by offset, with a total, or by key, at the same cost at any depth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)

Key = tuple[int | str | datetime, ...]
"""Where a row stands in a list: what the list is sorted by, down to the id, which no two rows share."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`limit` rows: from offset `skip`, or, when `after` is given, those that follow that key."""

    limit: int = 10
    skip: int = 0
    after: Key | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """`total` is None when paging by key; `next_key` is None on the last page."""

    items: Sequence[T_co]
    total: int | None
    next_key: Key | None
