"""What a benchmark found, and the table of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

README: Final = Path(__file__).parents[2] / "README.md"
BEGIN: Final = "<!-- benchmarks -->\n"
END: Final = "<!-- /benchmarks -->\n"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured. Without a limit it is there to be read only."""

    name: str
    value: float
    unit: str = "times"
    limit: float | None = None

    @property
    def holds(self) -> bool:
        return self.limit is None or self.value <= self.limit


def closeness(ratio: float) -> float:
    """How far a ratio is from 1, whichever of the two is the greater: 1 or more."""
    return max(ratio, 1 / ratio)


def table(figures: Iterable[Figure]) -> str:
    """The figures in Markdown."""
    lines = ["| measured | figure | limit | |", "|---|---:|---:|---|"]
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:g} {figure.unit}"
        verdict = "" if figure.limit is None else "ok" if figure.holds else "**missed**"
        lines.append(f"| {figure.name} | {figure.value:.2f} {figure.unit} | {limit} | {verdict} |")
    return "\n".join(lines)


def write_down(figures: Iterable[Figure]) -> None:
    """Put the table into the README, in the place of the one that is there."""
    before, begin, rest = README.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    README.write_text(f"{before}{begin}{table(figures)}\n{end}{after}", "utf-8")
