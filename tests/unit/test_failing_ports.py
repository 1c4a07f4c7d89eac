"""The other `test_failing_*` try every use case with ports that fail, one call after the other: none is missing there,
and no call of any port.

A use case that is new needs a line in the `CASES` of one of them.
"""

import pkgutil
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from inspect import getmembers, isclass, isfunction
from typing import Any, Final, get_type_hints

import pytest

import application
from application import imports, ports, resumable
from application.ports import clock, images, jobs, mail, partner, persistence, realtime, security, storage, throttle
from tests.unit import test_failing_accounts as accounts
from tests.unit import test_failing_storage as of_storage
from tests.unit import test_failing_tasks as tasks
from tests.unit.failing_ports import Fuse
from tests.unit.failing_runs import undisturbed, wired
from tests.unit.failing_scenes import Case, a_scene
from tests.unit.test_failing_realtime import questions_for_websockets
from tests.unit.test_failing_worker import calls_of_a_worker

CASES: Final[list[Case]] = [*accounts.CASES.values(), *of_storage.CASES.values(), *tasks.CASES.values()]
PORTS: Final = {
    "breached": security.BreachedPasswords,
    "clock": clock.Clock,
    "hasher": security.PasswordHasher,
    "images": images.Images,
    "mailer": mail.Mailer,
    "partner": partner.Partner,
    "queue": jobs.JobQueue,
    "reads": persistence.Reads,
    "secrets": security.Secrets,
    "store": storage.BlobStore,
    "throttle": throttle.Throttle,
    "tokens": security.AccessTokens,
    "work": persistence.Work,
    **{f"work.{name}": port for name, port in get_type_hints(persistence.Work).items()},
}
"""As the fuse names them."""
NEVER_FAIL: Final = {realtime.Broadcaster, realtime.Listener, realtime.Words}
"""Ports that promise it, or talk to nobody outside."""
ELSEWHERE: Final = {
    "work.users.record_activities",  # in `test_failing_accounts`, apart from its cases
    *("reads.ping", "store.ping"),  # asked by `/health/ready` and `portico check`, of which a failure is the answer
    "store.path_of",  # asks nobody
    *(f"queue.{name}" for name in ("figures", "list_jobs", "find", "revive", "cancel")),  # an operator's commands
}


def protocols() -> Iterator[type]:
    """All that there are in `application.ports`."""
    for module in pkgutil.walk_packages(ports.__path__, "application.ports."):
        for _, kind in getmembers(import_module(module.name), isclass):
            if getattr(kind, "_is_protocol", False) and kind.__module__ == module.name:
                yield kind


def test_no_port_is_forgotten() -> None:
    assert set(protocols()) == {*PORTS.values(), *NEVER_FAIL}


async def test_every_call_of_every_port_is_among_those_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PART", 20)
    monkeypatch.setattr(imports, "BATCH_ROWS", 2)
    tried = {*await calls_of_a_worker(), *await questions_for_websockets()}
    for case in CASES:
        tried |= set((await undisturbed(case)).calls)

    def offered(port: Any) -> Iterator[str]:
        return (name for name, value in vars(port).items() if isfunction(value) and not name.startswith("_"))

    there = {f"{name}.{call}" for name, port in PORTS.items() for call in offered(port)}
    assert len(there) > 100
    assert there - tried == ELSEWHERE


async def test_every_use_case_is_among_those_that_are_tried() -> None:
    scene = await a_scene()
    tried = set[type]()
    for case in CASES:
        tried |= wired(scene, Fuse(), case)[0].use_cases

    modules = [import_module(f"application.{module.name}") for module in pkgutil.iter_modules(application.__path__)]
    there = {
        kind
        for module in modules
        for _, kind in getmembers(module, isclass)
        if kind.__module__ == module.__name__ and is_dataclass(kind) and "__call__" in vars(kind)
    }
    assert there
    assert there - tried == set()
