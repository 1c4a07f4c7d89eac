"""The app under test, on each database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters.persistence.migrate import migrate
from tests.running_app import RunningApp, copy_database, run_app, settings_for

StartApp = Callable[..., Awaitable[RunningApp]]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy."""
    path = tmp_path_factory.mktemp("template") / "portico.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def database_settings(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> dict[str, Any]:
    """What picks a database of this test's own: each test runs on SQLite and on PostgreSQL."""
    if request.param == "postgres":
        return {"database_url": request.getfixturevalue("migrated_postgres_url")}
    copy_database(sqlite_template, tmp_path / "data")
    return {}


@pytest.fixture
async def start_app(database_settings: dict[str, Any], tmp_path: Path) -> AsyncIterator[StartApp]:
    """Starts an app with the settings one names; several share the database and the data directory."""
    async with AsyncExitStack() as stack:

        async def start(*, with_worker: bool = True, client: str = "203.0.113.7", **overrides: Any) -> RunningApp:
            settings = settings_for(tmp_path / "data", **{**database_settings, **overrides})
            return await stack.enter_async_context(run_app(settings, with_worker=with_worker, client=client))

        yield start


@pytest.fixture
async def app(start_app: StartApp) -> RunningApp:
    """The app with its worker, without throttles."""
    return await start_app()
