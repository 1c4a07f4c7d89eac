"""Logs: one line an event, on standard error, as JSON or for a person's eyes."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal

import structlog

from application.correlation import request_id

PROSE: Final = frozenset({"event", "exception", "stack"})
"""What may have several lines: it is ours, not a client's."""


def _with_request_id(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    current = request_id.get()
    if current is not None:
        event.setdefault("request_id", current)
    return event


def _without_colours(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("color_message", None)  # uvicorn's own second version of the event, for terminals
    return event


def _printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What clients send must not drive the terminal. The renderer quotes what has spaces in it, and nothing else."""
    for name, value in event.items():
        if name not in PROSE and isinstance(value, str) and not value.isprintable():
            event[name] = "".join(
                character if character.isprintable() else character.encode("unicode_escape").decode()
                for character in value
            )
    return event


def configure_logs(style: Literal["console", "json"] | None, level: str, *, traced: bool = False) -> None:
    """Set the whole process up. Without a style: `console` on a terminal, else `json`. Where requests are traced, each
    line has the id of its trace."""
    as_json = style == "json" if style else not sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        _with_request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if traced:
        from entrypoints.tracing import with_trace

        shared.append(with_trace)
    # A traceback without the values of variables, which a prettier one would show: passwords are among them.
    renderer: list[structlog.typing.Processor] = [
        _printable,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
    if as_json:
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _without_colours,
                *shared,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for library in ("alembic", "httpx2", "httpcore2"):  # what they say of each step, and of each address asked
        logging.getLogger(library).setLevel(logging.WARNING)
