"""What users are told of, in memory."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from application.ports.realtime import Change, NewChange
from tests.fakes.repositories import Tables


def show(thing: Any) -> str:
    """Of whatever it is, the id."""
    return json.dumps({"id": thing.id})


@dataclass
class InMemoryChanges:
    tables: Callable[[], Tables]
    now: Callable[[], datetime]

    def write_down(self, changes: Sequence[NewChange]) -> None:
        """What a transaction that commits does with what it shows."""
        tables = self.tables()
        for new in changes:
            change = Change(next(tables.change_ids), new.user_id, new.channel, new.event, new.data)
            tables.changes[change.id] = (change, self.now())

    async def delete_of(self, user_id: int, *, limit: int) -> int:
        return self._remove(
            [id_ for id_, (change, _) in self.tables().changes.items() if change.user_id == user_id][:limit]
        )

    async def sweep(self, kept: timedelta, *, limit: int) -> int:
        oldest = list(self.tables().changes.items())[:limit]
        return self._remove([id_ for id_, (_, written) in oldest if written <= self.now() - kept])

    def _remove(self, ids: Collection[int]) -> int:
        for change_id in ids:
            del self.tables().changes[change_id]
        return len(ids)


def beyond(tables: Tables, positions: Mapping[int, int], limit: int, channel: str | None = None) -> Sequence[Change]:
    """The first changes of each of these users beyond their positions."""
    return [
        change
        for user_id, position in positions.items()
        for change in [
            change
            for change, _ in tables.changes.values()
            if change.user_id == user_id and change.id > position and channel in (None, change.channel)
        ][:limit]
    ]
