"""The systemd units: systemd takes them, what they leave open is little, and the README installs what they start."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
DEPLOYMENT: Final = ROOT / "entrypoints" / "deployment"
UNITS: Final = ["portico@.service", "portico-worker.service"]
SYSTEMD: Final = shutil.which("systemd-analyze")
EXPOSURE: Final = 15
"""Tenths of what `systemd-analyze security` counts: it calls up to 20 fine, and a unit that does nothing for it 96."""

pytestmark = pytest.mark.skipif(SYSTEMD is None, reason="no systemd-analyze on this machine: `apt-get install systemd`")


def analyze(*arguments: str | Path) -> tuple[int, str]:
    assert SYSTEMD is not None
    ended = subprocess.run([SYSTEMD, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def installed(unit: str, folder: Path) -> Path:
    """The unit as it is for the port 8000, with programs that are on this machine."""
    text = (DEPLOYMENT / unit).read_text("utf-8")
    for program in ("/opt/portico/bin/portico", "/usr/bin/curl"):
        assert program in text or program == "/usr/bin/curl"
        text = text.replace(program, sys.executable)
    path = folder / unit.replace("@", "@8000")
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_has_nothing_to_say_about_the_unit(unit: str, tmp_path: Path) -> None:
    assert analyze("verify", "--man=no", installed(unit, tmp_path)) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_leaves_little_open(unit: str, tmp_path: Path) -> None:
    status, said = analyze(
        "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", installed(unit, tmp_path)
    )

    assert status == 0, said


def test_the_units_guard_alike() -> None:
    guards = [(DEPLOYMENT / unit).read_text("utf-8").partition("# What it can't do")[2] for unit in UNITS]

    assert guards[0]
    assert guards[0] == guards[1]


def test_the_readme_installs_what_the_units_start() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "systemd-run" in block]

    ended = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all((ROOT / name).is_file() for name in re.findall(r"entrypoints/\S+|requirements\S*\.lock", block))
    assert "cat requirements.lock" in block
    for unit in UNITS:
        text = (DEPLOYMENT / unit).read_text("utf-8")
        assert f"entrypoints/deployment/{unit}" in block
        assert re.search(r"^ExecStart=(/opt/portico)/bin/portico", text, re.MULTILINE)
        for name in ("EnvironmentFile", "StateDirectory", "StateDirectoryMode"):
            (value,) = re.findall(rf"^{name}=(.*)", text, re.MULTILINE)
            assert f"--property={name}={value} " in block
        assert "User=portico\n" in text
        assert "WorkingDirectory=/var/lib/portico\n" in text
        assert "DATA_DIR=/var/lib/portico " in text
    assert "--uid=portico --working-directory=/var/lib/portico " in block
    assert "--setenv=DATA_DIR=/var/lib/portico " in block
