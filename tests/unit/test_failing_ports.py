"""The other `test_failing_*` try every use case with ports that fail, one call after the other: none is missing there.

A use case that is new needs a line in the `CASES` of one of them.
"""

import asyncio
import pkgutil
from dataclasses import is_dataclass
from importlib import import_module
from inspect import getmembers, isclass

import application
from application.jobs import Worker
from domain.passwords import Password
from domain.users import Email
from tests.builders import PASSWORD, World
from tests.unit import test_failing_accounts as accounts
from tests.unit import test_failing_storage as storage
from tests.unit import test_failing_tasks as tasks
from tests.unit.failing_ports import Fuse
from tests.unit.failing_runs import wired
from tests.unit.failing_scenes import CLIENT, a_scene


async def test_a_worker_whose_queue_fails_at_any_call_does_every_job_all_the_same() -> None:
    async def worked(fuse: Fuse) -> World:
        world = World()
        await world.register(email=Email("ada@example.org"), password=Password(PASSWORD), full_name=None, client=CLIENT)
        await world.has("bob@example.org")
        await world.forgot_password(Email("bob@example.org"), client=CLIENT)
        stop = asyncio.Event()
        queue = fuse.wire("queue", world.store.jobs)
        worker = Worker("the worker", queue, world.handlers, {}, lambda kind, outcome: None)
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(60):
            while await world.store.jobs.list_jobs(state=None, limit=10):  # noqa: ASYNC110 - time is virtual here
                await asyncio.sleep(1)
        stop.set()
        await running
        return world

    fuse = Fuse()
    addresses = {mail.to for mail in (await worked(fuse)).mailer.sent}
    assert addresses == {"ada@example.org", "bob@example.org"}
    for number in range(len(fuse.calls)):
        for afterwards in (False, True):
            world = await worked(Fuse(number, afterwards))
            assert {mail.to for mail in world.mailer.sent} == addresses
            assert len({mail.id for mail in world.mailer.sent}) == 2


async def test_every_use_case_is_among_those_that_are_tried() -> None:
    scene = await a_scene()
    tried = set[type]()
    for case in [*accounts.CASES.values(), *storage.CASES.values(), *tasks.CASES.values()]:
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
