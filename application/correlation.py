"""What the present work was caused by: it goes along with every job, mail and call that comes of it."""

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The `X-Request-ID` under which the present work was caused: set by the entrypoint and by the worker for each job."""

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""What the present work is part of, as W3C Trace Context writes it. None while nothing is traced."""
