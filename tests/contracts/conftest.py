"""The stores that the persistence contracts hold for: SQLite, PostgreSQL, and the fakes in memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from adapters.persistence.database import Database
from tests.contracts.stores import Store, opened, store_in_memory, store_on
from tests.fakes import SettableClock
from tests.running_app import copy_database

DATABASES: Final = {"sqlite": "sqlite_url", "postgres": "migrated_postgres_url"}
"""Each database, and the fixture that gives the URL of one that is up to date and empty."""
EMPTY_DATABASES: Final = {"sqlite": "empty_sqlite_url", "postgres": "postgres_url"}


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A migrated SQLite database of this test's own."""
    copy_database(sqlite_template, tmp_path)
    return f"sqlite:///{tmp_path / 'portico.db'}"


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """Where no SQLite database is yet."""
    return f"sqlite:///{tmp_path / 'portico.db'}"


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of this test's own, up to date and empty: SQLite, then PostgreSQL."""
    url: str = request.getfixturevalue(DATABASES[request.param])
    return url


@pytest.fixture(params=EMPTY_DATABASES)
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """A database without any table: SQLite, then PostgreSQL."""
    url: str = request.getfixturevalue(EMPTY_DATABASES[request.param])
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with opened(database_url) as database:
        yield database


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(params=[*DATABASES, "memory"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """Where the store under test is; None for the one in memory."""
    return request.getfixturevalue(DATABASES[request.param]) if request.param in DATABASES else None


@pytest.fixture
async def store(store_url: str | None, clock: SettableClock) -> AsyncIterator[Store]:
    """Every implementation of the persistence ports."""
    if store_url is None:
        yield store_in_memory(clock)
        return
    async with opened(store_url) as database:
        yield store_on(database, clock)


@pytest.fixture
def sql_store(database: Database, clock: SettableClock) -> Store:
    """The implementations of the persistence ports that other processes can share."""
    return store_on(database, clock)
