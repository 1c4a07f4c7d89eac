"""A disk with little room."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_file_system(folder: Path, *, mebibytes: int) -> Iterator[Path]:
    """A file system of that size, in memory. Skips where nobody may mount one."""
    if sys.platform != "linux":
        pytest.skip("a small file system of one's own needs Linux")
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "portico-test", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounting.returncode != 0:
        pytest.skip("mounting a small file system needs root: run the tests as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Take all the room that is left, with a file that can be removed again."""
    with file.open("wb", buffering=0) as ballast:
        for size in (65536, 512):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                continue


def forbid_writing(folder: Path) -> None:
    """From now on it can only be read."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
