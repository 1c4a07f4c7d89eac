"""Each on each database, as for the faults."""

from pathlib import Path

import pytest

from tests.running_app import copy_database


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The `DATA_DIR` of this test's processes."""
    return tmp_path / "live" / "var"


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, data: Path, sqlite_template: Path) -> dict[str, str]:
    """The settings that name a migrated database of this test's own."""
    if request.param == "postgres":
        return {"DATABASE_URL": request.getfixturevalue("migrated_postgres_url")}
    copy_database(sqlite_template, data)
    return {}
