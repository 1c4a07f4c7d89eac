"""A circuit breaker: a partner that keeps failing is left alone for a while.

Of our own, since purgatory 3.0 takes a call whose client went away for a success, lets everybody through at once when
it probes, goes by the clock on the wall, and loads Redis: three times as much to start as the HTTP client itself.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from adapters.partner.attempts import Broken, Failed, Hurried
from domain.partner import ExternalApiError, ExternalServiceUnavailable

THRESHOLD: Final = 10
"""Attempts in a row that fail before it opens."""
PAUSE: Final = 5.0
"""Seconds that the partner is left alone for, before one attempt shows whether it works again."""

log = logging.getLogger(__name__)


@dataclass
class Breaker:
    now: Callable[[], float] = time.monotonic
    """Seconds, never going back."""
    _failures: int = 0
    _probe_at: float = 0
    _probing: bool = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One attempt, inside the block. Raises `ExternalServiceUnavailable` at once while it is open.

        `Broken` is a failure; an answer of any other kind shows that the partner works. What was cancelled, came too
        late to be answered, or failed by a mistake of ours, shows nothing.
        """
        probes = self._failures >= THRESHOLD
        if probes:
            wait = self._probe_at - self.now()
            if wait > 0 or self._probing:
                raise ExternalServiceUnavailable(math.ceil(wait if wait > 0 else PAUSE))
            self._probing = True
        try:
            yield
        except Broken:
            self._failed()
            raise
        except Hurried:
            raise
        except (Failed, ExternalApiError):
            self._works()
            raise
        else:
            self._works()
        finally:
            if probes:
                self._probing = False

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= THRESHOLD:
            self._probe_at = self.now() + PAUSE
        if self._failures == THRESHOLD:
            log.warning("the partner API keeps failing: it is left alone, and probed every %g s", PAUSE)

    def _works(self) -> None:
        if self._failures >= THRESHOLD:
            log.info("the partner API works again")
        self._failures = 0
