"""Each fault on each database."""

from pathlib import Path

import pytest

from adapters.persistence.migrate import migrate


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment that names a migrated database of this test's own."""
    if request.param == "postgres":
        return {"DATABASE_URL": request.getfixturevalue("migrated_postgres_url")}
    migrate(f"sqlite:///{tmp_path / 'data' / 'portico.db'}")
    return {}
