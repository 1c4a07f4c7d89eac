"""The app under test, on each deployment."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from dependency_injector.providers import Object

from adapters.throttle import moving_window
from application import activity
from entrypoints import health
from tests.deployments import DEPLOYMENTS, Deployment
from tests.fakes import SettableClock
from tests.faults.processes import Process, serving
from tests.live import Account, account
from tests.mail_server import smtp_server
from tests.redis_server import RedisServer
from tests.running_app import Mailbox, RunningApp, copy_database, run_app, settings_for
from tests.s3_servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server

StartApp = Callable[..., Awaitable[RunningApp]]


@pytest.fixture(params=DEPLOYMENTS, ids=str)
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """What the app runs on: each test runs on all of them, but for those that say otherwise."""
    chosen: Deployment = request.param
    return chosen


@pytest.fixture
def database_settings(
    deployment: Deployment, request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path
) -> dict[str, Any]:
    """What picks a database of this test's own, up to date."""
    if deployment.database == "postgres":
        return {"database_url": request.getfixturevalue("migrated_postgres_url")}
    copy_database(sqlite_template, tmp_path / "data")
    return {}


@pytest.fixture
def storage_settings(deployment: Deployment, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What picks an empty place for files."""
    if deployment.storage == "disk":
        return {}
    server: S3Server = request.getfixturevalue("moto")
    return {
        "storage_backend": "s3",
        "s3_endpoint_url": server.url,
        "s3_bucket": request.getfixturevalue("bucket"),
        "s3_access_key_id": ACCESS_KEY_ID,
        "s3_secret_access_key": SECRET_ACCESS_KEY,
    }


@pytest.fixture
def throttle_settings(deployment: Deployment, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What picks where attempts are counted."""
    counted = {"rate_limits_enabled": True}
    if deployment.throttles == "memory":
        return counted
    server: RedisServer = request.getfixturevalue("redis")
    return {**counted, "redis_url": server.url}


@pytest.fixture(autouse=True)
def nobody_is_written_down_as_active(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users are compared as a whole, and `last_active` must not move meanwhile, however long a test takes."""
    monkeypatch.setattr(activity, "PAUSE", timedelta(hours=1))


@pytest.fixture(autouse=True)
def parts_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: what Redis counts has to be exact, and a part that works to be found ready."""
    monkeypatch.setattr(moving_window, "REDIS_TIMEOUT_SECONDS", 60)
    monkeypatch.setattr(health, "TIMEOUT", 60)


@dataclass(frozen=True)
class Outgoing:
    """Where mail goes, and how to read it there."""

    settings: dict[str, Any]
    mailbox: Mailbox


@pytest.fixture
async def outgoing(deployment: Deployment, tmp_path: Path) -> AsyncIterator[Outgoing]:
    """What picks where mail goes."""
    if deployment.mail == "smtp":
        async with smtp_server(tls="none") as server:
            address = {"smtp_host": server.host, "smtp_port": server.port, "smtp_tls": server.tls}
            yield Outgoing({"mail_backend": "smtp", **address}, Mailbox(server))
    elif deployment.mail == "console":
        yield Outgoing({"mail_backend": "console"}, Mailbox(StringIO()))
    else:
        yield Outgoing({"mail_backend": "file"}, Mailbox(tmp_path / "data" / "mail"))


@pytest.fixture
def deployment_settings(
    database_settings: dict[str, Any],
    storage_settings: dict[str, Any],
    throttle_settings: dict[str, Any],
    outgoing: Outgoing,
) -> dict[str, Any]:
    """What picks all that the deployment is made of."""
    return {**database_settings, **storage_settings, **throttle_settings, **outgoing.settings}


@pytest.fixture
def deployment_environment(deployment_settings: dict[str, Any]) -> dict[str, str]:
    """The same, as a process of its own is told it."""
    return {name.upper(): str(value) for name, value in deployment_settings.items()}


@pytest.fixture
async def start_app(deployment_settings: dict[str, Any], outgoing: Outgoing, tmp_path: Path) -> AsyncIterator[StartApp]:
    """Starts an app with the settings one names; several share the deployment and the data directory."""
    async with AsyncExitStack() as stack:

        async def start(
            *,
            with_worker: bool = True,
            client: str = "203.0.113.7",
            prepare: Callable[[Any], None] | None = None,
            **overrides: Any,
        ) -> RunningApp:
            settings = settings_for(tmp_path / "data", **{**deployment_settings, **overrides})

            def prepared(container: Any) -> None:
                if isinstance(outgoing.mailbox.source, StringIO):
                    with redirect_stdout(outgoing.mailbox.source):
                        container.bare_mailer()  # it prints to what is the console when it is made
                if prepare is not None:
                    prepare(container)

            running = run_app(
                settings, with_worker=with_worker, client=client, prepare=prepared, mailbox=outgoing.mailbox
            )
            return await stack.enter_async_context(running)

        yield start


@pytest.fixture
async def app(start_app: StartApp) -> RunningApp:
    """The app with its worker."""
    return await start_app()


@pytest.fixture
def clock() -> SettableClock:
    """The clock of `app_with_clock`."""
    return SettableClock(datetime.now(UTC))


@pytest.fixture
async def app_with_clock(start_app: StartApp, clock: SettableClock) -> RunningApp:
    """The app with its worker, in a time that stands still until it is moved."""
    return await start_app(prepare=lambda container: container.clock.override(Object(clock)))


@pytest.fixture
async def portico(tmp_path: Path, deployment_environment: dict[str, str]) -> AsyncIterator[Process]:
    """The app as a real server, on each deployment; some tests have one of their own."""
    async with serving(tmp_path / "data", **deployment_environment) as process:
        yield process


@pytest.fixture
async def http(portico: Process) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of that server."""
    async with portico.client() as client:
        yield client


@pytest.fixture
async def ada(http: httpx2.AsyncClient) -> Account:
    """Somebody who is signed in there."""
    return await account(http)
