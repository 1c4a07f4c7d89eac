"""A Python client, made from the OpenAPI document and used against a server."""

import os
import sys
from pathlib import Path
from typing import Final

from tests.faults.processes import Process
from tests.programs import run

TOUR: Final = Path(__file__).parent / "python" / "tour.py"
CONFIGURATION: Final = TOUR.with_name("openapi-python-client.yaml")
PROGRAMS: Final = Path(sys.executable).parent


async def test_the_client_is_whole_its_types_hold_and_it_works(portico: Process, document: Path) -> None:
    folder = document.parent
    options = ("--fail-on-warning", "--meta", "none", "--config", CONFIGURATION)
    generate = (PROGRAMS / "openapi-python-client", "generate", *options)
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    await run(*generate, "--path", document, "--output-path", folder / "portico_client", folder=folder, PATH=path)

    # Silent of what the generator itself gets wrong: only what the program does with the client counts.
    await run(
        PROGRAMS / "mypy",
        "--strict",
        "--config-file=",
        "--follow-imports=silent",
        TOUR,
        folder=folder,
        MYPYPATH=str(folder),
    )
    assert await run(sys.executable, TOUR, portico.root, folder=folder, PYTHONPATH=str(folder)) == "Bread\n"
