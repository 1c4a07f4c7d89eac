"""The history of the schema: one file a step, named by its revision, the newest last."""

from pathlib import Path


def head() -> str:
    """The newest revision, known without loading Alembic: what a database should stand at."""
    return max(path.name[:4] for path in (Path(__file__).parent / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))
