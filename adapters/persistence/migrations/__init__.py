"""The history of the schema: one file a step, named by its revision, the newest last."""

from pathlib import Path


class MigrationFailed(Exception):
    """The database could not be brought up to date, and is as it was. The text is one line, for the operator."""


def head() -> str:
    """The newest revision, known without loading Alembic: what a database should stand at."""
    return max(path.name[:4] for path in (Path(__file__).parent / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))


def is_older(revision: str | None) -> bool:
    """Whether a database at this revision, or at none, has something before it that this version needs."""
    return (revision or "") < head()


def is_newer(revision: str | None) -> bool:
    """Whether a newer version of Portico has brought the database to where it is."""
    return (revision or "") > head()
