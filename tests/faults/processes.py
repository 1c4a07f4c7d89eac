"""Real `portico` processes, started as an operator would, and ended in every way there is."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from tests.running_app import PASSWORD

START_SECONDS: Final = 20.0


def environment(data: Path, **settings: str) -> dict[str, str]:
    """What a process sees: nothing of ours but these settings, and hashing that is quick."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "DATA_DIR": str(data),
        "BCRYPT_ROUNDS": "4",
        "RATE_LIMITS_ENABLED": "false",
        "LOG_FORMAT": "json",
        **settings,
    }


def free_port() -> int:
    """A port below those that outgoing connections take."""
    for port in range(20_000 + os.getpid() % 5_000, 32_000):
        with socket.socket() as candidate, suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@dataclass
class Process:
    """A `portico` process. What it wrote to standard error is in `errors`."""

    process: asyncio.subprocess.Process
    errors: Path
    port: int

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.api, timeout=30)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_status(self) -> int:
        async with asyncio.timeout(40):
            return await self.process.wait()


async def command(data: Path, *arguments: str, stdin: str = "", **settings: str) -> tuple[int, str, str]:
    """Run a command to its end: its exit status, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "entrypoints.cli",
        *arguments,
        env=environment(data, **settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


@asynccontextmanager
async def serving(data: Path, *arguments: str, **settings: str) -> AsyncIterator[Process]:
    """A server that is ready; killed in the end if it still runs."""
    port = free_port()
    async with _started(data, ("serve", "--port", str(port), *arguments), settings, port) as process:
        async with httpx2.AsyncClient() as client, asyncio.timeout(START_SECONDS):
            while not await _is_ready(client, port):
                assert process.process.returncode is None, process.errors.read_text()
                await asyncio.sleep(0.05)
        yield process


@asynccontextmanager
async def _started(
    data: Path, arguments: tuple[str, ...], settings: Mapping[str, str], port: int
) -> AsyncIterator[Process]:
    data.mkdir(parents=True, exist_ok=True)
    errors = data / f"stderr-{port}"
    with errors.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "entrypoints.cli",
            *arguments,
            env=environment(data, **settings),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=file,
        )
    try:
        yield Process(process, errors, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _is_ready(client: httpx2.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/health/ready")).status_code == 200
    except httpx2.TransportError:
        return False


async def register(client: httpx2.AsyncClient, address: str) -> httpx2.Response:
    return await client.post("/users/", json={"email": address, "password": PASSWORD})
