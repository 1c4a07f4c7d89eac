"""`make bench`: Portico against its promises of speed, as ratios within one run. Prints a table in Markdown.

Exits with 1 if a limit is missed, and with 2 if something that the benchmarks need can't be had.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.benchmarks.alike import alike
from tests.benchmarks.crowded_pool import crowded_pool
from tests.benchmarks.figures import Figure, table
from tests.benchmarks.load import WrkUnavailable
from tests.benchmarks.own_user import on_postgres, on_sqlite
from tests.benchmarks.realtime import across_processes, in_one_process
from tests.benchmarks.sign_ins import during_sign_ins
from tests.benchmarks.start_up import start_up
from tests.benchmarks.uploads import uploads
from tests.postgres_server import PostgresServer, PostgresUnavailable, RunDirectory

Benchmark = Callable[[Path], list[Figure]]
NAMES: Final = (
    "start-up",
    "own-user-postgres",
    "own-user-sqlite",
    "crowded-pool",
    "sign-ins",
    "uploads",
    "realtime",
    "realtime-across",
    "alike",
)
ON_POSTGRES: Final = {"own-user-postgres", "crowded-pool", "realtime-across"}


def _benchmarks(postgres: PostgresServer | None, *, quick: bool) -> Mapping[str, Benchmark]:
    found: dict[str, Benchmark] = {
        "start-up": partial(start_up, quick=quick),
        "own-user-sqlite": partial(on_sqlite, quick=quick),
        "sign-ins": partial(during_sign_ins, quick=quick),
        "uploads": partial(uploads, quick=quick),
        "realtime": partial(in_one_process, quick=quick),
        "alike": partial(alike, quick=quick),
    }
    if postgres is not None:
        found["own-user-postgres"] = partial(on_postgres, postgres=postgres, quick=quick)
        found["realtime-across"] = partial(across_processes, postgres=postgres, quick=quick)
        found["crowded-pool"] = partial(crowded_pool, postgres=postgres, quick=quick)
    return found


@contextmanager
def _postgres(*, wanted: bool) -> Iterator[PostgresServer | None]:
    """A server that is gone afterwards."""
    if not wanted:
        yield None
        return
    run = RunDirectory.create()
    try:
        yield run.shared_server()
    finally:
        run.remove()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; the figures swing more")
    arguments = parser.parse_args()
    names = arguments.names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    figures = []
    try:
        with _postgres(wanted=not ON_POSTGRES.isdisjoint(names)) as postgres:
            benchmarks = _benchmarks(postgres, quick=arguments.quick)
            for name in names:
                print(name, file=sys.stderr, flush=True)
                with TemporaryDirectory(prefix="portico-bench-") as folder:
                    figures += benchmarks[name](Path(folder))
    except (PostgresUnavailable, WrkUnavailable) as lacking:
        print(lacking, file=sys.stderr)
        return 2
    print(table(figures))
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
