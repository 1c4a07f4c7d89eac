"""Packages of npm, in the versions that a package-lock.json pins."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

HOW_TO_GET: Final = "no node and npm on this machine: `apt-get install nodejs npm`"
INSTALLING_SECONDS: Final = 300
OPTIONS: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


class NpmUnavailable(Exception):
    """The packages can't be had; says in one line why, or how to get npm."""


def node_modules(source: Path) -> Path:
    """The packages that the lock in this folder pins, kept beside those of Python from one run to the next.

    Several test processes may ask for them at once: the first one counts. Raises `NpmUnavailable`.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NpmUnavailable(HOW_TO_GET)
    lock = (source / "package-lock.json").read_bytes()
    kept = Path(sys.prefix) / "npm" / hashlib.sha256(lock).hexdigest()[:16]
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=kept.parent))
        try:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, draft)
            _install(npm, draft)
            with suppress(OSError):  # another process was first
                draft.rename(kept)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return kept / "node_modules"


def _install(npm: str, folder: Path) -> None:
    installing = subprocess.run(
        [npm, "ci", *OPTIONS],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALLING_SECONDS,
        check=False,
    )
    if installing.returncode != 0:
        raise NpmUnavailable(f"npm can't install them: {installing.stderr.strip()[-300:]}")
