"""Time, and which request is being served."""

from contextvars import ContextVar
from datetime import datetime
from typing import Protocol

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The `X-Request-ID` under which the present work was caused: set by the entrypoint and by the worker for each job."""

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""What the present work is part of, as W3C Trace Context writes it. None while nothing is traced."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, in UTC."""
