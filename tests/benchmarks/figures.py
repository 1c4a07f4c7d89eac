"""What a benchmark found, and the table of it."""

from collections.abc import Iterable
from dataclasses import dataclass


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
