"""The partner's API in memory."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from domain.partner import ExternalApiError, ExternalServiceUnavailable
from tests.fakes.transactions import must_be_outside_a_transaction


@dataclass
class FakePartner:
    """A `Partner`. It gives `documents` by their path, else 404; a path in `statuses` answers with that instead."""

    documents: dict[str, Any] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def data(self) -> Any:
        return await self._get("/data")

    async def user(self, user_id: int) -> Any:
        return await self._get(f"/users/{user_id}")

    async def _get(self, path: str) -> Any:
        must_be_outside_a_transaction("asking the partner")
        self.asked.append(path)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)  # let others have their turn, as a round trip does
        self.at_once -= 1
        if path in self.away:
            raise ExternalServiceUnavailable
        if path in self.statuses or path not in self.documents:
            raise ExternalApiError(self.statuses.get(path, 404))
        return self.documents[path]
