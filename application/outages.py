"""What fails again and again until an outage is over is said once, and so is its end."""

import logging
from typing import Final

from domain.errors import Unavailable


class Outage:
    """Something that is tried again until it works. `what` says in the log what can't be done meanwhile."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log: Final = log
        self._what: Final = what
        self._last: type[BaseException] | None = None

    def goes_on(self, error: BaseException) -> None:
        """It failed. That the service is away needs no traceback; whatever else it is does."""
        if type(error) is not self._last:
            self._last = type(error)
            known = isinstance(error, Unavailable)
            self._log.warning("%s; trying again until it works", self._what, exc_info=None if known else error)

    def is_over(self) -> None:
        """It worked."""
        if self._last is not None:
            self._last = None
            self._log.warning("over: %s", self._what)
