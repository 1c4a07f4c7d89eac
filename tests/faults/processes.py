"""Real `portico` processes, started as an operator would, and ended in every way there is."""

import asyncio
import os
import re
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from tests.faults.network import Host
from tests.mail_server import MailServer
from tests.ports import reserved_port
from tests.running_app import PASSWORD

HAS_PROC: Final = Path("/proc/self/task").exists()
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 180.0
COMMAND_SECONDS: Final = 180.0
CERTAIN_SECONDS: Final = 180.0
"""Within which what must come true has come true, however busy the machine is."""
CLI: Final = "entrypoints.cli"
PATIENT: Final = "tests.faults.patient_portico"
PORT: Final = 8000
"""Where every server listens that has a host of its own."""


@dataclass
class Process:
    """A `portico` process. `port` is 0 for one that serves nothing."""

    process: asyncio.subprocess.Process
    log: Path
    port: int = 0
    address: str = "127.0.0.1"

    @property
    def root(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def errors(self) -> str:
        """The lines that it wrote to standard error until now. One that is still being written is none yet."""
        lines, end, _ = self.log.read_text("utf-8", errors="replace").rpartition("\n")
        return lines + end

    def client(self) -> httpx2.AsyncClient:
        """Speaks to the API; hands out connections without a bound of its own."""
        limits = httpx2.Limits(max_connections=None)
        # There is no TLS here, and reading the system's certificates takes longer than a request.
        return httpx2.AsyncClient(base_url=f"{self.root}/api/v1", timeout=60, limits=limits, verify=False)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    def terminate(self) -> None:
        """Tell it to stop."""
        self.process.terminate()

    async def exit_status(self) -> int:
        """Its exit status, once it has ended."""
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()

    @contextmanager
    def paused(self, pid: int) -> Iterator[None]:
        """Let this one of its processes do nothing meanwhile."""
        os.kill(pid, signal.SIGSTOP)
        try:
            while _state_of(pid) not in ("T", ""):  # until it comes to stand still, it may take a connection
                time.sleep(0.01)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def serving_processes(self) -> list[int]:
        """The ids of the processes that serve, where there are several. None are known on a system without `/proc`."""
        children = _text(f"/proc/{self.process.pid}/task/{self.process.pid}/children").split()
        return [int(pid) for pid in children if "spawn_main" in _text(f"/proc/{pid}/cmdline")]


def _text(path: str) -> str:
    """What is there in `/proc`; nothing of a process that has just gone."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _state_of(pid: int) -> str:
    """As `proc(5)` has it: `T` for one that stands still."""
    return _text(f"/proc/{pid}/stat").rpartition(") ")[2][:1]


def environment(data: Path, settings: dict[str, str]) -> dict[str, str]:
    """What a process sees: these settings, hashing that is quick, and nothing of ours."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "DATA_DIR": str(data),
        "BCRYPT_ROUNDS": "4",
        "RATE_LIMITS_ENABLED": "false",
        "LOG_FORMAT": "json",
        **settings,
    }


async def command(
    data: Path, *arguments: str, stdin: str = "", module: str = CLI, **settings: str
) -> tuple[int, str, str]:
    """Run a command to its end: its exit status, output and errors."""
    data.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env=environment(data, settings),
        cwd=data,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(COMMAND_SECONDS):
        output, errors = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def check(data: Path, **settings: str) -> tuple[int, str, str]:
    """What comes of `portico check`, however long the parts take to answer on a busy machine."""
    return await command(data, "check", module=PATIENT, **settings)


@asynccontextmanager
async def serving(data: Path, *arguments: str, **settings: str) -> AsyncIterator[Process]:
    """A server that is ready; killed in the end if it still runs."""
    with reserved_port() as port:
        async with serving_at(port, data, *arguments, **settings) as process:
            yield process


@asynccontextmanager
async def serving_patiently(data: Path, *arguments: str, **settings: str) -> AsyncIterator[Process]:
    """A server that gives nobody up for being late, so busy may the machine be; killed in the end if it still runs."""
    with reserved_port() as port:
        async with serving_at(port, data, *arguments, module=PATIENT, **settings) as process:
            yield process


@asynccontextmanager
async def serving_on(host: Host, data: Path, **settings: str) -> AsyncIterator[Process]:
    """A server on a host of its own; it may be ready only later. Killed in the end if it still runs."""
    arguments = ("serve", "--host", host.address, "--port", str(PORT))
    async with _started(data, *arguments, settings=settings, within=host.inside) as process:
        process.address, process.port = host.address, PORT
        yield process


@asynccontextmanager
async def serving_at(
    port: int, data: Path, *arguments: str, module: str = CLI, **settings: str
) -> AsyncIterator[Process]:
    """A server on this port, which `reserved_port` gave."""
    command = ("serve", "--port", str(port), *arguments)
    async with _started(data, *command, settings=settings, module=module) as process:
        process.port = port
        try:
            await comes_true(lambda: is_up(process), START_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not ready after {START_SECONDS:g} s: {process.errors[-2000:]}") from None
        yield process


@asynccontextmanager
async def starting(data: Path, *arguments: str, **settings: str) -> AsyncIterator[Process]:
    """A server that may never be ready; killed in the end if it still runs."""
    async with _started(data, "serve", *arguments, settings=settings) as process:
        yield process


@asynccontextmanager
async def working(data: Path, **settings: str) -> AsyncIterator[Process]:
    """A worker without a server; killed in the end if it still runs."""
    async with _started(data, "worker", settings=settings) as process:
        yield process


@asynccontextmanager
async def working_hastily(data: Path, **settings: str) -> AsyncIterator[Process]:
    """A worker without a server, whose lease is short; killed in the end if it still runs."""
    async with _started(data, settings=settings, module="tests.faults.hasty_worker") as process:
        yield process


@asynccontextmanager
async def _started(
    data: Path,
    *arguments: str,
    settings: dict[str, str],
    within: tuple[str, ...] = (),
    module: str = CLI,
) -> AsyncIterator[Process]:
    data.mkdir(parents=True, exist_ok=True)
    log = data / f"stderr-{secrets.token_hex(4)}"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(*within, sys.executable, "-m", module, *arguments),
            env=environment(data, settings),
            cwd=data,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=file,
        )
    started = Process(process, log)
    try:
        yield started
    finally:
        if process.returncode is None:
            children = started.serving_processes()
            process.kill()
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        await process.wait()


async def is_up(process: Process) -> bool:
    assert process.process.returncode is None, process.errors
    try:
        return (await readiness(process))[0] == 200
    except httpx2.TransportError:
        return False


async def readiness(process: Process) -> tuple[int, dict[str, str]]:
    """The status of `/health/ready`, and what it says of each part."""
    async with process.client() as client:
        response = await client.get(f"{process.root}/health/ready")
    return response.status_code, response.json()["checks"]


async def comes_true(condition: Callable[[], Awaitable[bool]], deadline: float) -> None:
    """Return once the condition holds, asked again and again. Raises `TimeoutError` at the deadline."""
    async with asyncio.timeout(deadline):
        while not await condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.05)


def mail_through(server: MailServer) -> dict[str, str]:
    """The settings that send mail there."""
    return {"MAIL_BACKEND": "smtp", "SMTP_HOST": server.host, "SMTP_PORT": str(server.port), "SMTP_TLS": "none"}


async def register(client: httpx2.AsyncClient, address: str) -> httpx2.Response:
    return await client.post("/users/", json={"email": address, "password": PASSWORD})


async def sign_in(client: httpx2.AsyncClient, address: str, password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/auth/login", json={"email": address, "password": password})


async def figure(process: Process, name: str) -> float:
    """What `/metrics` says of this series; 0 if it isn't there."""
    async with process.client() as client:
        text = (await client.get(f"{process.root}/metrics")).text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def comes_to(process: Process, name: str, value: float, deadline: float = CERTAIN_SECONDS) -> None:
    """Return once `/metrics` says so of this series, which then stays there: see `reaches` for one that goes on."""

    async def is_there() -> bool:
        return await figure(process, name) == value

    await comes_true(is_there, deadline)


async def reaches(process: Process, name: str, value: float, deadline: float = CERTAIN_SECONDS) -> None:
    """Return once `/metrics` says that this series is at least there: nobody may have looked while it was just that."""

    async def is_there() -> bool:
        return await figure(process, name) >= value

    await comes_true(is_there, deadline)
