"""The documents say what is so."""

import ast
import json
import re
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from adapters.persistence.migrations import head
from entrypoints.settings import Settings
from tests.deployments import DEPLOYMENTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLE = ROOT / ".env.example"
DOCUMENTS = ["README.md", "SECURITY.md", "CHANGELOG.md"]
SETTINGS = {name.upper(): field.default for name, field in Settings.model_fields.items()}
SAID_IN_WORDS = {"VERSION", *(name for name, default in SETTINGS.items() if default is None)}
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def written(default: object) -> str:
    """How a default is written in the environment."""
    if isinstance(default, Path):
        return f"./{default}"
    return default if isinstance(default, str) else json.dumps(default)


def headings(document: str, level: str) -> list[str]:
    """The headings of these levels, in their order; what looks like one in a block of code is none."""
    prose = re.sub(r"^```.*?^```", "", (ROOT / document).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"^{level} (.+)$", prose, re.MULTILINE)


def anchor_of(heading: str) -> str:
    """What a heading can be linked by."""
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def anchors(document: str) -> set[str]:
    return {anchor_of(heading) for heading in headings(document, "#+")}


def test_the_readme_names_every_setting_with_its_default_and_says_what_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", section("Settings"), re.MULTILINE)

    assert [name for name, _, _ in rows] == list(SETTINGS)
    assert all(text for _, _, text in rows)
    for name, default, _ in rows:
        if name not in SAID_IN_WORDS:
            assert default == f"`{written(SETTINGS[name])}`", name


def test_the_example_names_every_setting_each_under_a_line_that_says_what_it_is() -> None:
    lines = re.findall(r"^# .+\n#(\w+)=", EXAMPLE.read_text("utf-8"), re.MULTILINE)

    assert lines == list(SETTINGS)


def test_the_example_changes_nothing_when_all_of_it_is_uncommented(tmp_path: Path) -> None:
    uncommented = tmp_path / "env"
    uncommented.write_text(re.sub(r"^#(?! )", "", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE))

    assert "\nHOST=" in uncommented.read_text()
    assert Settings(_env_file=uncommented) == Settings(_env_file=None)


def test_the_settings_for_production_need_only_a_secret_of_ones_own(tmp_path: Path) -> None:
    (lines,) = re.findall(r"^```ini\n(.*?)^```", section("Going to production"), re.MULTILINE | re.DOTALL)
    file = tmp_path / "env"
    file.write_text(lines)
    with pytest.raises(ValueError, match=r"^1 validation error for Settings\nsecret_key\n"):
        Settings(_env_file=file)

    file.write_text(lines.replace("SECRET_KEY=…", f"SECRET_KEY={'s' * 32}"))
    assert Settings(_env_file=file).environment == "production"


def test_every_test_that_security_md_names_exists() -> None:
    promises = [line for line in (ROOT / "SECURITY.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    rows = [line for line in promises if line != "| promise | test |"]

    assert rows
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in (ROOT / file).read_text("utf-8"), (file, test)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / document).read_text("utf-8")):
        if not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            assert (ROOT / (path or document)).is_file(), target
            assert not anchor or anchor in anchors(path or document), target


def test_the_contents_are_the_parts_in_their_order() -> None:
    *parts, licence = headings("README.md", "##")

    assert licence == "Licence"
    assert re.findall(r"^- \[(.+)\]\(#(.+)\)$", README, re.MULTILINE) == [(part, anchor_of(part)) for part in parts]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_blank_line_is_around_each_heading(document: str) -> None:
    lines = ["", *(ROOT / document).read_text("utf-8").splitlines()]
    for number, line in enumerate(lines):
        if line.startswith(("## ", "### ")):
            assert not lines[number - 1], line
            assert not lines[number + 1], line


def test_the_migration_of_the_guide_comes_next_or_was_made() -> None:
    (block,) = [block for block in PYTHON if "/migrations/versions/" in block.splitlines()[0]]
    path = block.splitlines()[0].removeprefix("# ")
    number = f"{int(head()) + 1:04}"

    if not (ROOT / path).exists():  # it does where the guide was followed
        assert path.startswith(f"adapters/persistence/migrations/versions/{number}_")
        assert f'revision = "{number}"\ndown_revision = "{head()}"\n' in block


def test_every_file_that_the_readme_names_is_there_or_made_by_it() -> None:
    made = {block.splitlines()[0].removeprefix("# ") for block in PYTHON}
    named = set(re.findall(r"`((?:\w+/)+(?:\w+\.\w+)?)`", README))

    assert named
    assert [path for path in named - made if not (ROOT / path).exists()] == []


def test_what_the_readme_shows_in_python_is_python_and_imports_what_is_there() -> None:
    made = {block.splitlines()[0].removeprefix("# ").removesuffix(".py").replace("/", ".") for block in PYTHON}

    for block in PYTHON:
        if block.startswith("# "):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and node.module not in made:
                    assert node.module is not None
                    assert find_spec(node.module), node.module
                    names = {alias.name for alias in node.names} - {"NoteRow"}
                    assert names <= set(dir(import_module(node.module))), node.module


@pytest.mark.parametrize(("folder", "may"), [("domain", {"domain"}), ("application", {"application", "domain"})])
def test_rules_and_use_cases_import_the_standard_library_and_no_framework(folder: str, may: set[str]) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            named |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            assert {name.partition(".")[0] for name in named} <= sys.stdlib_module_names | may, path


def test_the_readme_has_each_deployment_that_the_suite_runs_on() -> None:
    rows = re.findall(r"^\| (SQLite|PostgreSQL) \| (.+) \| (.+) \| (.+) \|$", section("Swap an adapter"), re.MULTILINE)

    shown = ["-".join(row).lower().replace("postgresql", "postgres") for row in rows]
    assert shown == [str(each) for each in DEPLOYMENTS]
