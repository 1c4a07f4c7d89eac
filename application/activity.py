"""When people were last active: noticed as they pass, written down off their way."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from application.ports.clock import Clock
from application.ports.persistence import Begin
from application.ports.persistence.users import MOST_ACTIVITIES
from domain.errors import Unavailable
from domain.users import User, UserId

PAUSE: Final = timedelta(seconds=5)
"""How long to gather whom to write down. A process that is killed forgets as much."""
MOST: Final = 10_000
"""People to be written down; who comes on top of that is noted with one of their next requests."""

log = logging.getLogger(__name__)


@dataclass
class Activity:
    """Notes who uses the API, and writes that down for each at most once a minute, whatever the number of processes."""

    begin: Begin
    clock: Clock
    _noted: set[UserId] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, user: User, now: datetime) -> None:
        """This user is there, now. Called with every request, so it does next to nothing."""
        if not user.was_active_lately(now) and len(self._noted) < MOST:
            self._noted.add(user.id)
            self._news.set()

    async def run(self) -> None:
        """Write down who was noted, again and again, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(PAUSE.total_seconds())
            await self.write()

    async def write(self) -> None:
        """Write down who was noted since the last time. Who can't be written down now will be next time."""
        self._news.clear()
        left, self._noted = sorted(self._noted), set()
        try:
            while left:
                async with self.begin() as work:
                    await work.users.record_activities(left[:MOST_ACTIVITIES], self.clock.now())
                del left[:MOST_ACTIVITIES]
        except Exception as error:  # whatever it is, nobody's request depends on it
            log.warning(
                "activity can't be written down now", exc_info=None if isinstance(error, Unavailable) else error
            )
        finally:
            if left:
                self._noted.update(left)
                self._news.set()
