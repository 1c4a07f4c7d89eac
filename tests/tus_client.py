"""tus-js-client, the client that browsers use for resumable uploads: installed by npm, run by node."""

import asyncio
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.npm import HOW_TO_GET, NpmUnavailable, node_modules

PACKAGES: Final = Path(__file__).parent / "clients" / "tus"
SCRIPT: Final = Path(__file__).with_suffix(".js")
UPLOADING_SECONDS: Final = 300


@dataclass(frozen=True)
class TusClient:
    """Make it with `installed`."""

    node: str
    packages: Path

    @classmethod
    def installed(cls) -> "TusClient":
        """Raises `NpmUnavailable`."""
        node = shutil.which("node")
        if node is None:
            raise NpmUnavailable(HOW_TO_GET)
        return cls(node, node_modules(PACKAGES))

    async def upload(self, endpoint: str, token: str, file: Path, *, chunk_size: int) -> tuple[str, str]:
        """Upload the file, trying again for a minute: the id of what it became, and what happened."""
        process = await asyncio.create_subprocess_exec(
            *(self.node, str(SCRIPT), endpoint, token, str(file), str(chunk_size)),
            env={**os.environ, "NODE_PATH": str(self.packages)},
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
