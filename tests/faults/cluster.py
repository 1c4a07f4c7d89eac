"""A deployment on hosts of its own: three applications, PostgreSQL, Redis, a mail server, and a proxy in front."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from entrypoints.health import is_ok
from tests.faults.network import Host, Network
from tests.faults.processes import PORT, Process, comes_true, is_up, mail_through, readiness, serving_on
from tests.mail_server import MailServer, smtp_server
from tests.nginx_server import command
from tests.postgres_server import PostgresServer, RunDirectory
from tests.redis_server import RedisServer

APPLICATIONS: Final = 3
SECRET_KEY: Final = "the same on every host of the cluster"
FAKETIME: Final = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
"""What can move the clock of a process, where this machine has it."""
MOST_LATE: Final = 3600.0
"""Seconds that a clock may be wrong and still count as right, however long the answer took that told the time."""


@dataclass
class Application:
    """A host that serves and works, whatever happens to it."""

    host: Host
    data: Path
    settings: dict[str, str]
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)
    _process: Process | None = None

    @property
    def process(self) -> Process:
        assert self._process is not None, "it does not run"
        return self._process

    async def start(self) -> None:
        """Start it; `comes_up` tells when it is ready."""
        self._process = await self._running.enter_async_context(serving_on(self.host, self.data, **self.settings))

    async def comes_up(self, deadline: float) -> None:
        await comes_true(lambda: is_up(self.process), deadline)

    async def end(self) -> None:
        """End it as a crash would."""
        await self._running.aclose()

    async def stop(self) -> int:
        """Tell it to stop, and wait for it; its exit status."""
        self.process.terminate()
        status = await self.process.exit_status()
        await self._running.aclose()
        return status

    def set_clock(self, offset: str) -> None:
        """Its clock is that far off, from a second later on at most: `+1d`, `-1d`, `+0`."""
        draft = self._clock_file.with_suffix(".new")
        draft.write_text(offset)
        draft.rename(self._clock_file)

    async def clock_is_right(self) -> bool:
        """Whether the time is what it is here, going by the head of an answer of its own."""
        async with self.process.client() as client:
            told = (await client.get(f"{self.process.root}/health/live")).headers["Date"]
        return abs(parsedate_to_datetime(told).timestamp() - time.time()) < MOST_LATE

    async def lacks(self, part: str) -> bool:
        """Whether it says that it can't use this part now."""
        return not is_ok((await readiness(self.process))[1][part])

    async def is_out_of_reach(self) -> bool:
        """Whether a connection to it is neither taken nor refused."""
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection(self.host.address, PORT)
        except (TimeoutError, OSError) as error:
            return not isinstance(error, ConnectionRefusedError)
        writer.close()
        return False

    @property
    def _clock_file(self) -> Path:
        return self.data.parent / f"{self.host.name}.clock"

    def __post_init__(self) -> None:
        if FAKETIME is not None:
            self.set_clock("+0")
            self.settings = self.settings | {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock_file),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }


@dataclass
class Cluster:
    network: Network
    applications: Sequence[Application]
    postgres_host: Host
    postgres: PostgresServer
    redis: RedisServer
    mail: MailServer
    address: str
    """Where its users find it: `http://…`."""
    clocks_agree: bool = True
    """Whether all its hosts know what time it is."""

    async def all_up(self, deadline: float) -> None:
        """Return once every application is ready. Raises `TimeoutError`."""
        await asyncio.gather(*(application.comes_up(deadline) for application in self.applications))


@asynccontextmanager
async def cluster(network: Network, directory: Path, run: RunDirectory, data: Path) -> AsyncIterator[Cluster]:
    """All of it, up and serving; `data` is the disk that the applications share."""
    async with AsyncExitStack() as stack:
        postgres_host, redis_host = network.host("db"), network.host("redis")
        postgres = run.new_server(address=postgres_host.address, within=postgres_host.inside)
        stack.callback(_end, postgres)
        postgres.create_database("portico")
        redis = stack.enter_context(RedisServer(address=redis_host.address, within=redis_host.inside))
        mail_host, proxy_host = network.host("mail"), network.host("proxy")
        mail = await stack.enter_async_context(
            smtp_server(tls="none", host=mail_host.address, new_socket=mail_host.new_socket)
        )
        settings = {
            "DATABASE_URL": postgres.url_over_network("portico"),
            "AUTO_MIGRATE": "true",
            "REDIS_URL": redis.url_over_network,
            "SECRET_KEY": SECRET_KEY,
            "TRUSTED_PROXIES": f'["{proxy_host.address}"]',
            **mail_through(mail),
        }
        applications = [Application(network.host(f"app{n}"), data, settings) for n in range(APPLICATIONS)]
        for application in applications:
            stack.push_async_callback(application.end)
            await application.start()
        made = Cluster(
            network, applications, postgres_host, postgres, redis, mail, f"http://{proxy_host.address}:{PORT}"
        )
        await made.all_up(60)
        stack.enter_context(_proxy(proxy_host, [application.host for application in applications], directory))
        yield made


def _end(postgres: PostgresServer) -> None:
    if postgres.is_running:
        postgres.stop_immediately()


@contextmanager
def _proxy(host: Host, behind: Sequence[Host], directory: Path) -> Iterator[None]:
    """nginx on its host, in front of these."""
    servers = [f"{one.address}:{PORT} max_fails=1 fail_timeout=2s" for one in behind]
    process = subprocess.Popen(
        [*host.inside, *command(directory / "nginx", listen=f"{host.address}:{PORT}", upstreams=servers)],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)
