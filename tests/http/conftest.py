"""The app under test, on each database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dependency_injector.providers import Object

from tests.fakes import SettableClock
from tests.running_app import RunningApp, copy_database, run_app, settings_for

StartApp = Callable[..., Awaitable[RunningApp]]


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

        async def start(
            *,
            with_worker: bool = True,
            client: str = "203.0.113.7",
            prepare: Callable[[Any], None] | None = None,
            **overrides: Any,
        ) -> RunningApp:
            settings = settings_for(tmp_path / "data", **{**database_settings, **overrides})
            running = run_app(settings, with_worker=with_worker, client=client, prepare=prepare)
            return await stack.enter_async_context(running)

        yield start


@pytest.fixture
async def app(start_app: StartApp) -> RunningApp:
    """The app with its worker, without throttles."""
    return await start_app()


@pytest.fixture
def clock() -> SettableClock:
    """The clock of `app_with_clock`."""
    return SettableClock(datetime.now(UTC))


@pytest.fixture
async def app_with_clock(start_app: StartApp, clock: SettableClock) -> RunningApp:
    """The app with its worker, in a time that stands still until it is moved."""
    return await start_app(prepare=lambda container: container.clock.override(Object(clock)))
