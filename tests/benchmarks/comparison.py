"""Portico against the same written by hand, under the same load on both."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Load, median_ratio
from tests.benchmarks.servers import Server, portico, twin

CONNECTIONS: Final = 8

PutUnder = Callable[[Server, int], Load]
"""Puts a server under a load for so many seconds."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both on one database. All logs, metrics and headers are on in Portico; the twin has none of them."""

    ours: Server
    twin: Server

    def compared(self, load: PutUnder, *, title: str, limit: float, quick: bool) -> list[Figure]:
        """What a request costs Portico, against what it costs the twin."""
        cpu, throughput = self.ratios(load, quick=quick)
        return [
            Figure(f"{title}: CPU of a request, against hand-written", cpu, limit=limit),
            Figure(f"{title}: requests a second, against hand-written", throughput),
        ]

    def ratios(self, load: PutUnder, *, quick: bool) -> tuple[float, float]:
        """The first against the second: of the CPU time of a request, and of requests a second."""
        for server in (self.ours, self.twin):
            load(server, 1)  # opens the connections, prepares the statements
        rounds = [self._round(load, swapped=n % 2 == 1) for n in range(3 if quick else 9)]
        cpu = median_ratio([(first.cpu_us, second.cpu_us) for first, second in rounds])
        throughput = median_ratio([(first.per_second, second.per_second) for first, second in rounds])
        return cpu, throughput

    def _round(self, load: PutUnder, *, swapped: bool) -> tuple[Load, Load]:
        """Both for a second, one right after the other, and the other way round every second time."""
        if swapped:
            second, first = load(self.twin, 1), load(self.ours, 1)
        else:
            first, second = load(self.ours, 1), load(self.twin, 1)
        return first, second


@contextmanager
def pair_on_sqlite(folder: Path) -> Iterator[Pair]:
    """On the database in that folder, which Portico makes."""
    with portico(folder) as ours, twin("sqlite", folder, DATABASE_FILE=str(folder / "portico.db")) as by_hand:
        yield Pair(ours, by_hand)


@contextmanager
def pair_on_postgres(folder: Path, url: str) -> Iterator[Pair]:
    """On a database that is up to date."""
    with portico(folder, DATABASE_URL=url) as ours, twin("postgres", folder, DATABASE_URL=url) as by_hand:
        yield Pair(ours, by_hand)
