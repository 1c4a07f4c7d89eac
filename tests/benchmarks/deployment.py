"""What is installed where Portico is deployed: its own requirements, and none of the tests' tools.

Libraries look for others that they can do without, and load them where they find them: structlog loads Rich, and
dependency-injector Werkzeug. Both are here because of the tests only.
"""

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT: Final = "portico"
OF_THE_TWINS: Final = {"aiosqlite"}
"""What a twin is made with and Portico isn't: SQLAlchemy's async engine on SQLite needs it."""


def hide_tools(folder: Path) -> None:
    """Write the module into the folder that hides them from a Python that has the folder in its PYTHONPATH."""
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({_tools()!r}))\n", "utf-8")


@cache
def _tools() -> list[str]:
    """The modules of all that is installed and isn't required."""
    required = _required(PROJECT, {"tracing"}) | OF_THE_TWINS
    return [
        module
        for module, names in packages_distributions().items()
        if module.isidentifier() and module not in sys.stdlib_module_names and not module.startswith("_")
        if required.isdisjoint(canonicalize_name(name) for name in names)
    ]


def _required(name: str, extras: set[str], found: set[str] | None = None) -> set[str]:
    """That package, and all that it requires with these extras, and what those require."""
    found = set() if found is None else found
    key = f"{canonicalize_name(name)}[{','.join(sorted(extras))}]"
    if key not in found:
        found |= {key, canonicalize_name(name)}
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:  # of another system
            return found
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                _required(requirement.name, requirement.extras, found)
    return found
