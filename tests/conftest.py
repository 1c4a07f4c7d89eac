"""What every test may ask for: PostgreSQL in three shapes, and the rule that CI skips nothing."""

import gc
import os
import secrets
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres_server import PostgresServer, PostgresUnavailable, RunDirectory
from tests.redis_server import RedisServer, RedisUnavailable
from tests.s3_servers import MotoServer, RcloneServer, S3Server, S3Unavailable

RUN_DIRECTORY: Final = pytest.StashKey[RunDirectory]()
NOTHING_MAY_BE_SKIPPED: Final = os.environ.get("PORTICO_REQUIRE_ALL") == "1"
TEMPLATE: Final = "migrated"

# How fast the machine is proves nothing.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def fill_template(url: str) -> None:
    """Bring the empty database at `url` up to date. Once per run: `migrated_postgres_url` hands out copies of it."""
    from adapters.persistence.migrate import migrate  # only runs that use PostgreSQL pay for it

    migrate(url)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """The PostgreSQL server of this run, shared with the other test processes: use it, don't stop it."""
    try:
        return request.config.stash[RUN_DIRECTORY].shared_server()
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def own_postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server for this test alone, which may stop and start it."""
    try:
        server = request.config.stash[RUN_DIRECTORY].new_server()
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))
    yield server
    if server.is_running:
        server.stop_immediately()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database of this test's own."""
    yield from _database(postgres)


@pytest.fixture
def migrated_postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A database of this test's own that is up to date and holds no rows."""
    yield from _database(postgres, postgres_template)


@pytest.fixture(scope="session")
def postgres_template(request: pytest.FixtureRequest, postgres: PostgresServer) -> str:
    """The name of a migrated database to copy. It is renamed when it is done, so a failed migration leaves none."""
    with request.config.stash[RUN_DIRECTORY].alone():
        if not postgres.has_database(TEMPLATE):
            draft = f"draft_{secrets.token_hex(6)}"
            postgres.create_database(draft)
            fill_template(postgres.url(draft))
            postgres.rename_database(draft, TEMPLATE)
    return TEMPLATE


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy."""
    path = tmp_path_factory.mktemp("template") / "portico.db"
    fill_template(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def moto() -> Iterator[S3Server]:
    """A service that knows the whole of S3, for the tests of this process: take a bucket of one's own."""
    yield from _s3(MotoServer())


@pytest.fixture(scope="session")
def rclone() -> Iterator[S3Server]:
    """A service that checks signatures, likewise."""
    yield from _s3(RcloneServer())


@pytest.fixture
def bucket(moto: S3Server) -> Iterator[str]:
    """The name of an empty bucket of this test's own, at `moto`."""
    name = moto.new_bucket()
    yield name
    moto.drop_bucket(name)


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """An empty Redis: use it, don't stop it."""
    shared_redis.empty()
    return shared_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server for this test alone, which may kill it."""
    yield from _redis()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """The Redis of this process, with whatever the tests before have left in it."""
    yield from _redis()


def _redis() -> Iterator[RedisServer]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(RedisServer())
        except RedisUnavailable as reason:
            pytest.skip(str(reason))
        yield server


def _s3(server: S3Server) -> Iterator[S3Server]:
    with ExitStack() as stack:
        try:
            stack.enter_context(server)
        except S3Unavailable as reason:
            pytest.skip(str(reason))
        yield server


def _database(server: PostgresServer, template: str | None = None) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    server.create_database(name, template)
    yield server.url(name)
    server.drop_database(name)


def pytest_collection_finish() -> None:
    """All that is loaded and collected by now stays: to look through it for garbage took a fifth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_configure(config: pytest.Config) -> None:
    shared = getattr(config, "workerinput", {}).get("run_directory")
    config.stash[RUN_DIRECTORY] = RunDirectory(Path(shared)) if shared else RunDirectory.create()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker process of pytest-xdist where the servers of this run are."""
    node.workerinput["run_directory"] = str(node.config.stash[RUN_DIRECTORY].path)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[RUN_DIRECTORY].remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _without_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _without_skip((yield))


def _without_skip(report: Report) -> Report:
    """Where all parts are demanded, a skip is a failure: a test that never runs proves nothing."""
    if NOTHING_MAY_BE_SKIPPED and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"PORTICO_REQUIRE_ALL=1 allows no skip. {reason}"
    return report
