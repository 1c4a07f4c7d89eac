"""Files that mean harm are refused in little time and memory: a process that the kernel limits looks at all of them."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.images import HOSTILE, drawn

ROOT: Final = Path(__file__).parents[2]
MEGABYTES: Final = 100

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="only Unix limits a process so")


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[list[str], int]]:
    """What came of each file, and by how many bytes the peak of memory had grown then."""
    directory = tmp_path_factory.mktemp("hostile")
    paths = [directory / str(number) for number in range(len(HOSTILE) + 1)]
    for path, make in zip(paths, [drawn, *HOSTILE.values()], strict=True):
        path.write_bytes(make())
    process = subprocess.run(
        [sys.executable, "-m", "tests.contracts.image_process", *map(str, paths)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return dict(zip(HOSTILE, map(json.loads, process.stdout.splitlines()), strict=False))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_within_2_seconds_and_100_megabytes(
    looked_at: Mapping[str, tuple[list[str], int]], name: str
) -> None:
    assert name in looked_at, "the kernel ended the process that looked at it"
    outcomes, grown = looked_at[name]
    assert outcomes == ["refused", "refused"]
    assert grown < MEGABYTES * 1024 * 1024
