"""`make bench`: Portico against its promises of speed, as ratios within one run. Prints a table in Markdown.

Exits with 1 if a limit is missed, and with 2 if something that the benchmarks need can't be had.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.benchmarks import items, jobs, own_user
from tests.benchmarks.alike import alike
from tests.benchmarks.crowded_pool import crowded_pool
from tests.benchmarks.figures import Figure, table, write_down
from tests.benchmarks.load import WrkUnavailable
from tests.benchmarks.partner import partner
from tests.benchmarks.realtime import across_processes, in_one_process
from tests.benchmarks.sign_ins import during_sign_ins
from tests.benchmarks.start_up import start_up
from tests.benchmarks.tracing import traced
from tests.benchmarks.uploads import uploads
from tests.postgres_server import PostgresServer, PostgresUnavailable, RunDirectory

BENCHMARKS: Final[Mapping[str, Callable[..., list[Figure]]]] = {
    "start-up": start_up,
    "own-user-sqlite": own_user.on_sqlite,
    "items-sqlite": items.on_sqlite,
    "pages-sqlite": items.deep_pages_on_sqlite,
    "sign-ins": during_sign_ins,
    "alike": alike,
    "uploads": uploads,
    "partner": partner,
    "jobs-sqlite": jobs.on_sqlite,
    "realtime": in_one_process,
}
"""Each is given a folder of its own, and whether it shall be quick."""

ON_POSTGRES: Final[Mapping[str, Callable[..., list[Figure]]]] = {
    "own-user-postgres": own_user.on_postgres,
    "items-postgres": items.on_postgres,
    "pages-postgres": items.deep_pages_on_postgres,
    "crowded-pool": crowded_pool,
    "jobs-postgres": jobs.on_postgres,
    "traced": traced,
    "realtime-across": across_processes,
}
"""These are given a server, too."""

NAMES: Final = (*BENCHMARKS, *ON_POSTGRES)


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
    parser.add_argument("--write", action="store_true", help="put the table of them all into the README, too")
    arguments = parser.parse_args()
    names = arguments.names or NAMES
    if arguments.write and arguments.names:
        parser.error("--write needs all the figures")
    if unknown := set(names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    figures = []
    try:
        with _postgres(wanted=any(name in ON_POSTGRES for name in names)) as postgres:
            for name in names:
                print(name, file=sys.stderr, flush=True)
                with TemporaryDirectory(prefix="portico-bench-") as folder:
                    if name in ON_POSTGRES:
                        figures += ON_POSTGRES[name](Path(folder), postgres, quick=arguments.quick)
                    else:
                        figures += BENCHMARKS[name](Path(folder), quick=arguments.quick)
    except (PostgresUnavailable, WrkUnavailable) as lacking:
        print(lacking, file=sys.stderr)
        return 2
    print(table(figures))
    if arguments.write:
        write_down(figures)
    return 0 if all(figure.holds for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
