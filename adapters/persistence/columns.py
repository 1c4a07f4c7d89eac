"""What columns are made of: the types and references that several tables have."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Dialect, ForeignKey, Integer, String
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment: `timestamptz` in PostgreSQL, ISO text in UTC in SQLite, which knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        if dialect.name != "sqlite":
            return None
        to_text = DateTime().dialect_impl(dialect).bind_processor(dialect)
        assert to_text is not None  # SQLite has no type of its own for times
        return lambda value: None if value is None else to_text(value.astimezone(UTC).replace(tzinfo=None))

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:  # noqa: ARG002 - SQLAlchemy names it
        if dialect.name != "sqlite":
            return None
        return lambda value: None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


BigId = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits in both: only a column declared INTEGER counts up by itself in SQLite."""

BY_CODE_POINT = String(255).with_variant(String(255, collation="C"), "postgresql")
"""Text that every database sorts alike, and as Python does."""


def references_user(**options: Any) -> Column[int]:
    return Column(BigId, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, **options)


def references_blob(**options: Any) -> Column[str]:
    """No bytes are forgotten that a row refers to: the database itself refuses that."""
    return Column(String(64), ForeignKey("blobs.sha256"), nullable=False, **options)
