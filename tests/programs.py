"""Programs that are run to their end."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

RUNNING_SECONDS: Final = 500


async def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """What the program printed. Fails if it failed, or said anything about a mistake."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUNNING_SECONDS):
            output, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 0, output.decode()
    return output.decode()
