"""Each fault on each database."""

from pathlib import Path

import pytest

from adapters.persistence.migrate import migrate
from tests.running_app import copy_database


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy."""
    path = tmp_path_factory.mktemp("template") / "portico.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The `DATA_DIR` of this test's processes."""
    return tmp_path / "data"


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, data: Path, sqlite_template: Path) -> dict[str, str]:
    """The settings that name a migrated database of this test's own: each test runs on SQLite and on PostgreSQL."""
    if request.param == "postgres":
        return {"DATABASE_URL": request.getfixturevalue("migrated_postgres_url")}
    copy_database(sqlite_template, data)
    return {}
