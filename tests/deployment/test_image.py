"""The image: its Dockerfile is linted, and its steps of building are carried out as they are written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.faults.processes import environment

ROOT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = ROOT / "Dockerfile"
HADOLINT: Final = Path(sys.executable).with_name("hadolint")
BUILD_SECONDS: Final = 500


def instructions(stage: int) -> list[tuple[str, str]]:
    """The instructions of a stage, each as its word and the rest."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE))
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]
    lines = [line.strip() for line in stages[stage].splitlines() if line.strip()]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def locked(name: str) -> set[str]:
    """What a lock pins: each package with its version and where it is for."""
    return set(re.findall(r"^(\S+==.+?) \\$", (ROOT / name).read_text("utf-8"), re.MULTILINE))


def from_outside() -> dict[str, str]:
    """By what programs get to where packages are: for pip to find them here as it did before."""
    names = {"all_proxy", "http_proxy", "https_proxy", "no_proxy", "curl_ca_bundle", "requests_ca_bundle"}
    names |= {"ssl_cert_dir", "ssl_cert_file"}
    return {
        name: value for name, value in os.environ.items() if name.lower() in names or name.lower().startswith("pip_")
    }


def shell(command: str, folder: Path, **variables: str) -> str:
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not made for this system")
def test_the_linter_has_nothing_to_say_about_the_dockerfile() -> None:
    linted = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)

    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    last = dict(instructions(-1))

    assert last["USER"] == "10001:10001"
    assert "/health/live" in last["HEALTHCHECK"]
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["portico"]', '["serve"]')


def test_what_the_image_copies_is_let_through_to_it_and_nothing_else_is() -> None:
    copied = {name for word, rest in instructions(0) if word == "COPY" for name in rest.split()[:-1]}
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)

    assert copied == set(let_through)


def test_the_lock_for_serving_is_part_of_the_one_for_working_on_it() -> None:
    assert locked("requirements.lock")
    assert locked("requirements.lock") < locked("requirements-dev.lock")


def test_the_steps_of_the_image_make_a_portico_that_works(tmp_path: Path, postgres_url: str) -> None:
    """All that the build does, on this machine's Python: what the image would hold goes into a folder."""
    build, portico, data = tmp_path / "build", tmp_path / "portico", tmp_path / "data"
    build.mkdir()
    data.mkdir()
    pythons = tmp_path / "bin"
    pythons.mkdir()
    (pythons / "python").symlink_to(sys.executable)
    for word, rest in instructions(0):
        if word == "COPY":
            *names, target = rest.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, build / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, build / target)
        elif word == "RUN":
            command = re.sub(r"--mount=\S+", "", rest).replace("/opt/portico", str(portico))
            shell(command, build, **from_outside(), PATH=f"{pythons}:{os.environ['PATH']}")

    settings = {**environment(data, {}), "PYTHONPATH": "", "PATH": f"{portico}/bin:{os.environ['PATH']}"}
    for database in ("", postgres_url):
        checked = shell("portico migrate && portico check", data, **settings, DATABASE_URL=database)
        assert checked.splitlines()[1:] == ["database: ok", "storage: ok", "jobs: ok"]
    assert "/api/v1/users/" in shell("portico openapi", data, **settings)
    modules = shell(f"{portico}/bin/python -c 'import entrypoints; print(entrypoints.__file__)'", data)
    assert Path(modules).is_relative_to(portico)
    assert not list(portico.glob("lib/python*/site-packages/pytest"))
