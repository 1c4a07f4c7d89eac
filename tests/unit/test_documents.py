"""The documents say what is so."""

import re
from pathlib import Path

from entrypoints.settings import Settings

ROOT = Path(__file__).parents[2]
SETTINGS = {name.upper() for name in Settings.model_fields}


def test_the_readme_and_the_example_name_every_setting_and_no_other() -> None:
    table = (ROOT / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    example = re.findall(r"^#([A-Z_0-9]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`([A-Z_0-9]+)`", row)} == SETTINGS
    assert set(example) == SETTINGS


def test_every_test_that_security_md_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text())

    assert named
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(), (file, test)
