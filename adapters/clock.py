"""The machine's own clock."""

from datetime import UTC, datetime


class SystemClock:
    """What the operating system says the time is."""

    def now(self) -> datetime:
        return datetime.now(UTC)
