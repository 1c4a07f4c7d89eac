"""A TypeScript client, made from the OpenAPI document and used against a server."""

import hashlib
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.clients.programs import run
from tests.faults.processes import Process

SOURCE: Final = Path(__file__).parent / "typescript"
NODE: Final = shutil.which("node")
NPM: Final = shutil.which("npm")


async def node_modules() -> Path:
    """The packages that package-lock.json pins, kept beside those of Python from one run to the next."""
    assert NPM is not None
    lock = (SOURCE / "package-lock.json").read_bytes()
    kept = Path(sys.prefix) / "npm" / hashlib.sha256(lock).hexdigest()[:16]
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=kept.parent))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, draft)
        await run(NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", folder=draft)
        with suppress(OSError):  # another process was first
            draft.rename(kept)
        shutil.rmtree(draft, ignore_errors=True)
    return kept / "node_modules"


@pytest.mark.skipif(not (NODE and NPM), reason="no node and npm on this machine: `apt-get install nodejs npm`")
async def test_the_types_hold_and_the_client_works(portico: Process, document: Path) -> None:
    assert NODE is not None
    folder = document.parent / "client"
    shutil.copytree(SOURCE, folder)
    (folder / "node_modules").symlink_to(await node_modules())
    programs = folder / "node_modules" / ".bin"

    await run(programs / "openapi-typescript", document, "--output", folder / "schema.ts", folder=folder)
    await run(programs / "tsc", folder=folder)
    assert await run(NODE, folder / "built" / "tour.js", portico.root, folder=folder) == "Bread\n"
