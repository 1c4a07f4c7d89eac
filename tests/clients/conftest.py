"""The OpenAPI document as clients get it, and a server to speak to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.processes import Process, serving
from tests.running_app import copy_database


@pytest.fixture
async def portico(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Process]:
    data = tmp_path / "data"
    copy_database(sqlite_template, data)
    async with serving(data, MAIL_BACKEND="file") as process:
        yield process


@pytest.fixture
async def document(portico: Process, tmp_path: Path) -> Path:
    """The file with what the server says of itself."""
    path = tmp_path / "openapi.json"
    async with portico.client() as client:
        path.write_bytes((await client.get("/openapi.json")).content)
    return path
