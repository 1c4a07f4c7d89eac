"""Each fault on each database."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.network import Network, NetworkUnavailable, network
from tests.running_app import copy_database


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


@pytest.fixture
def hosts() -> Iterator[Network]:
    """A network of this test's own, to put hosts into."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(network())
        except NetworkUnavailable as reason:
            pytest.skip(str(reason))
        yield made
