"""The command line: `portico`."""

import argparse
import asyncio
import gc
import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from shutil import get_terminal_size
from typing import Any

from adapters.persistence.migrations import MigrationFailed
from domain.errors import Unavailable
from entrypoints.settings import Settings, WrongSettings, read_settings

WRONG_SETTINGS = 2
FAILED = 1
MOST_JOBS = 1000
"""Jobs that are listed at once."""


def main() -> int:
    """Run a command and return its exit status: 0, 1 if it failed, 2 if a setting or an argument is wrong."""
    arguments = _parser().parse_args()
    try:
        settings = read_settings()
        command: Callable[[Settings, argparse.Namespace], int] = arguments.command
        return command(settings, arguments)
    except WrongSettings as wrong:
        print(wrong, file=sys.stderr)
        return WRONG_SETTINGS
    except MigrationFailed as failed:
        print(failed, file=sys.stderr)
        return FAILED
    except Unavailable:
        print("The database can't be used now; portico check says why.", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="portico", description="The application backend that is there already.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[..., int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    serve = add("serve", _serve, "Serve HTTP; one process also does the background work.")
    serve.add_argument("--host", help="the address to listen on (HOST, else 127.0.0.1)")
    serve.add_argument("--port", type=int, help="the port to listen on (PORT, else 8000)")
    serve.add_argument("--workers", type=int, default=1, help="how many processes (1)")
    add("worker", _worker, "Do the background work alone: any number, on any number of machines.")
    add("migrate", _migrate, "Bring the database up to date. Safe from several machines at once.")
    create = add("create-superuser", _create_superuser, "Create a superuser, or promote the account of this address.")
    create.add_argument("--email", required=True)
    create.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    add("check", _check, "Connect to every part that the settings name, and say what is wrong.")
    add("openapi", _openapi, "Print the OpenAPI document.")
    jobs = add(
        "jobs",
        _jobs,
        "Look after the background work: list it, show one of it, try what is dead again, take something out.",
    )
    jobs.add_argument("action", choices=["list", "show", "retry", "cancel"])
    jobs.add_argument("id", nargs="?", help="the job that is to be shown, tried again or taken out")
    jobs.add_argument("--state", choices=["waiting", "running", "dead"], help="list only these")
    return parser


def _container(settings: Settings) -> Any:
    """A container whose keys are known to fit. Raises `WrongSettings`."""
    from entrypoints.container import Container  # not before the settings are known to hold
    from entrypoints.logs import configure_logs

    configure_logs(settings.log_format, settings.log_level, traced=settings.is_traced)
    container = Container(settings=settings)
    try:
        container.tokens()
    except ValueError as error:
        name = "SECRET_KEY" if settings.algorithm == "HS256" else "JWT_PRIVATE_KEY_FILE"
        raise WrongSettings([f"{name}: {error}"]) from None
    except OSError as error:
        raise WrongSettings([f"DATA_DIR: can't be written to ({error.strerror})"]) from None
    return container


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.workers < 1:
        raise WrongSettings(["--workers: must be 1 or more"])
    if arguments.port is not None and not 0 <= arguments.port <= 65535:
        raise WrongSettings(["--port: must be from 0 to 65535"])
    if arguments.workers > 1 and settings.uses_sqlite and settings.redis_url is None:
        raise WrongSettings(
            ["--workers: more than one process needs PostgreSQL (DATABASE_URL) or REDIS_URL to hear each other"]
        )
    gc.disable()  # what is loaded now stays, so looking for garbage in it only takes time; `serve` turns it on again
    container = _container(settings)
    from entrypoints.server import serve

    host = arguments.host or settings.host
    port = settings.port if arguments.port is None else arguments.port
    serve(container, host=host, port=port, workers=arguments.workers)
    return 0


def _worker(settings: Settings, _: argparse.Namespace) -> int:
    container = _container(settings)
    from entrypoints.lifecycle import migrate_if_wanted
    from entrypoints.worker import work

    migrate_if_wanted(container)
    asyncio.run(work(container))
    return 0


def _migrate(settings: Settings, _: argparse.Namespace) -> int:
    from adapters.persistence.migrate import migrate

    migrate(settings.database)
    print("The database is up to date.")
    return 0


def _create_superuser(settings: Settings, arguments: argparse.Namespace) -> int:
    from domain.errors import Refusal
    from domain.passwords import Password
    from entrypoints.http.fields import parse_email
    from entrypoints.lifecycle import migrate_if_wanted

    text = None
    if arguments.password_stdin:
        # What is no UTF-8 comes as lone surrogates, which no password may have, whatever the locale.
        text = sys.stdin.buffer.readline().decode("utf-8", "surrogateescape").rstrip("\r\n")
    elif sys.stdin.isatty():
        text = getpass.getpass("Password (empty to keep the one the account has): ") or None
    container = _container(settings)
    try:
        email = parse_email(arguments.email)
    except ValueError as error:
        print(f"--email: {error}", file=sys.stderr)
        return FAILED
    try:
        password = None if text is None else Password.chosen(text)
        migrate_if_wanted(container)
        user = _run(container, lambda: container.create_superuser()(email=email, password=password))
    except Unavailable:
        raise
    except (ValueError, Refusal) as error:
        print(error, file=sys.stderr)
        return FAILED
    print(f"{user.email} is a superuser.")
    return 0


def _check(settings: Settings, _: argparse.Namespace) -> int:
    from entrypoints.health import is_ok

    container = _container(settings)

    async def check() -> dict[str, str]:
        results: dict[str, str] = await container.full_check().check()
        return results

    results = _run(container, check)
    for part, result in results.items():
        print(f"{part}: {result}")
    return 0 if all(map(is_ok, results.values())) else FAILED


def _openapi(settings: Settings, _: argparse.Namespace) -> int:
    from entrypoints.http.app import create_app

    print(json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False))
    return 0


def _jobs(settings: Settings, arguments: argparse.Namespace) -> int:
    from domain.tasks import TaskFinished
    from entrypoints.jobs import retried, shown, table

    container = _container(settings)
    queue = container.job_queue()
    if arguments.action == "list":
        jobs = _run(container, lambda: queue.list_jobs(state=arguments.state, limit=MOST_JOBS))
        print(table(jobs, get_terminal_size().columns if sys.stdout.isatty() else None))
        if len(jobs) == MOST_JOBS:
            print(f"These are the oldest {MOST_JOBS}; there may be more.", file=sys.stderr)
        return 0
    if arguments.id is None:
        raise WrongSettings([f"jobs {arguments.action}: needs the id of a job; portico jobs list shows them"])
    actions = {
        "show": lambda: shown(arguments.id, queue, container.reads()),
        "retry": lambda: retried(arguments.id, queue, container.reads()),
        "cancel": lambda: queue.cancel(arguments.id),
    }
    try:
        # Every id is ASCII, and a database can't be asked for what is no UTF-8.
        done = arguments.id.isascii() and _run(container, actions[arguments.action])
    except TaskFinished as error:
        print(f"{error}: whoever wants it starts it anew. portico jobs cancel takes this job out.", file=sys.stderr)
        return FAILED
    if not done:
        kind = "dead job" if arguments.action == "retry" else "job"
        print(f"There is no {kind} of that id.", file=sys.stderr)
        return FAILED
    if arguments.action == "show":
        print(done)
    return 0


def _run(container: Any, action: Callable[[], Awaitable[Any]]) -> Any:
    """Do something with the parts of a container opened."""
    from entrypoints.lifecycle import running

    async def run() -> Any:
        async with running(container, with_worker=False):
            return await action()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
