"""A TypeScript client, made from the OpenAPI document and used against a server."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.faults.processes import Process
from tests.npm import HOW_TO_GET, node_modules
from tests.programs import run

SOURCE: Final = Path(__file__).parent / "typescript"
NODE: Final = shutil.which("node")


@pytest.mark.skipif(not (NODE and shutil.which("npm")), reason=HOW_TO_GET)
async def test_the_types_hold_and_the_client_works(portico: Process, document: Path) -> None:
    assert NODE is not None
    folder = document.parent / "client"
    shutil.copytree(SOURCE, folder)
    (folder / "node_modules").symlink_to(await asyncio.to_thread(node_modules, SOURCE))
    programs = folder / "node_modules" / ".bin"

    await run(programs / "openapi-typescript", document, "--output", folder / "schema.ts", folder=folder)
    await run(programs / "tsc", folder=folder)
    assert await run(NODE, folder / "built" / "tour.js", portico.root, folder=folder) == "Bread\n"
