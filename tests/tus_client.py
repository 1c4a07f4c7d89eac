"""tus-js-client, the client that browsers use for resumable uploads: installed by npm, run by node."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VERSION: Final = "4.3.1"
PACKAGES: Final = Path(sys.prefix) / f"tus-js-client-{VERSION}"
"""Installed once, beside the packages of Python."""
SCRIPT: Final = Path(__file__).with_suffix(".js")
HOW_TO_GET: Final = "no node and npm on this machine: `apt-get install nodejs npm`"
INSTALLING_SECONDS: Final = 100
UPLOADING_SECONDS: Final = 100


class TusClientUnavailable(Exception):
    """It can't be had; says in one line why, or how to get it."""


@dataclass(frozen=True)
class TusClient:
    """Make it with `installed`."""

    node: str

    @classmethod
    def installed(cls) -> "TusClient":
        """Raises `TusClientUnavailable`."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise TusClientUnavailable(HOW_TO_GET)
        if not PACKAGES.exists():
            _install(npm)
        return cls(node)

    async def upload(self, endpoint: str, token: str, file: Path, *, chunk_size: int) -> tuple[str, str]:
        """Upload the file, trying again for a minute: the id of what it became, and what happened."""
        process = await asyncio.create_subprocess_exec(
            *(self.node, str(SCRIPT), endpoint, token, str(file), str(chunk_size)),
            env={**os.environ, "NODE_PATH": str(PACKAGES / "node_modules")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(UPLOADING_SECONDS):
                output, errors = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        assert process.returncode == 0, errors.decode()
        return output.decode().strip(), errors.decode()


def _install(npm: str) -> None:
    """Several test processes may do so at once: the first one counts."""
    with tempfile.TemporaryDirectory(dir=PACKAGES.parent) as folder:
        options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        installing = subprocess.run(
            [npm, "install", *options, "--prefix", folder, f"tus-js-client@{VERSION}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALLING_SECONDS,
            check=False,
        )
        if installing.returncode != 0:
            raise TusClientUnavailable(f"npm can't install tus-js-client: {installing.stderr.strip()[-300:]}")
        with suppress(OSError):
            Path(folder).rename(PACKAGES)
        Path(folder).mkdir(exist_ok=True)  # for the one who removes it
