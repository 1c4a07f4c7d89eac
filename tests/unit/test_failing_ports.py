"""Every call of every port fails once, in every use case: nothing is half-done, and the same thing can be done again.

A use case that is new needs a line in `CASES`; a test says so.
"""

import asyncio
import pkgutil
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from functools import partial
from importlib import import_module
from inspect import getmembers, isclass
from itertools import count
from typing import Any, Final

import pytest

import application
from application.idempotency import DoOnce
from application.items import CreateItem, DeleteItem, EditItem, GetItem, ListItems
from application.jobs import Worker
from application.realtime import OpenConnection
from application.sessions import (
    ListSessions,
    RevokeOtherSessions,
    RevokeSession,
    TokenPair,
)
from application.tasks import CancelTask, GetTask, ListTasks
from application.users import (
    CreateSuperuser,
    DeleteUser,
    GetUser,
    ListUsers,
    PingUser,
    RenameUser,
    UpdateUser,
    UserChange,
)
from domain.errors import Refusal
from domain.idempotency import Attempt
from domain.items import Item, ItemChange, ItemSort
from domain.pages import PageRequest
from domain.passwords import Password
from domain.tasks import Task, TaskKind
from domain.users import Actor, Email
from tests.builders import ANOTHER_PASSWORD, LAPTOP, PASSWORD, PHONE, World, a_job
from tests.fakes import plain_hash
from tests.unit.failing_ports import Fuse, PortFailed, Wiring

CLIENT: Final = "192.0.2.1"


@dataclass(frozen=True)
class CreateItemOnce:
    """The two use cases behind a POST with an `Idempotency-Key`, put together as the route does."""

    do_once: DoOnce
    create: CreateItem

    async def __call__(self, actor: Actor) -> str:
        create = partial(self.create, actor, title="Milk", description=None)
        text, _ = await self.do_once(Attempt(actor.user.id, "key", "milk"), lambda keep: create(keep=keep), _title)
        return text


def _title(item: Item) -> str:
    return item.title


@dataclass
class Scene:
    """What there is before anything fails."""

    world: World
    pair: TokenPair
    ada: Actor
    root: Actor
    eve_id: int
    item: Item
    task: Task
    """An export that waits for a worker."""
    tokens: dict[str, str]
    """What was mailed: to `eve` who isn't verified yet, for a new `password`, for a new `address`."""

    @property
    def store(self) -> Any:
        return self.world.store

    def state(self) -> dict[str, Any]:
        """Everything that is kept, but the numbers to come."""
        tables = self.store._tables.copy()
        kept = {each.name: getattr(tables, each.name) for each in fields(tables)}
        counted = {name: rows for name, rows in kept.items() if not isinstance(rows, count)}
        return counted | {"announced": list(self.store.announced)}

    def shape(self) -> dict[str, Any]:
        """Everything that is kept or was sent, but for the names that things got by counting."""
        state = self.state()
        return {
            **{name: len(rows) for name, rows in state.items()},
            "accounts": sorted((u.email, u.password_hash, u.is_verified, u.is_active) for u in state["users"].values()),
            "titles": sorted((item.title, item.version) for item in state["items"].values()),
            "live tokens": Counter(token.purpose for token in state["mailed_tokens"].values() if not token.dead),
            "events": Counter(type(event) for event in state["announced"]),
            "mails": Counter((mail.letter, mail.to) for mail in self.world.mailer.sent),
        }


async def a_scene() -> Scene:
    world = World()
    ada = await world.has(is_verified=True)
    root = await world.has("root@example.org", is_superuser=True)
    await world.has("old@example.org", password_hash=plain_hash(PASSWORD, scheme="old:"))
    await world.register(email=Email("eve@example.org"), password=Password(PASSWORD), full_name="Eve", client=CLIENT)
    eve = await world.store.user_by_email(Email("eve@example.org"))
    assert eve is not None
    tokens = {}
    for name, ask in {
        "eve": None,
        "password": world.forgot_password(ada.email, client=CLIENT),
        "address": world.request_email_change(
            await world.actor(ada), new_email=Email("new@example.org"), password=Password(PASSWORD)
        ),
    }.items():
        if ask is not None:
            await ask
        await world.do_jobs()
        tokens[name] = next(mail.token for mail in reversed(world.mailer.sent) if mail.token)
    pair = await world.signed_in(ada)
    actor = await world.authenticate(pair.access_token)
    root_actor = await world.actor(root, device=PHONE)
    item = await CreateItem(world.store.begin, world.clock)(actor, title="Tea", description=None)
    task = await world.start_task(actor, TaskKind.EXPORT_ACCOUNT, {})
    world.mailer.sent.clear()
    world.store.announced.clear()
    return Scene(world, pair, actor, root_actor, eve.id, item, task, tokens)


Do = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Case:
    """A use case, and one call of it that goes well."""

    build: Callable[[Scene], Any]
    call: Callable[[Scene, Do], Awaitable[Any]]


def _job(kind: str, payload: Callable[[Scene], dict[str, Any]]) -> Case:
    return Case(lambda s: s.world.handlers[kind], lambda s, do: do(a_job(kind, **payload(s))))


def _on_store(use_case: Callable[..., Any], call: Callable[[Scene, Do], Awaitable[Any]]) -> Case:
    return Case(lambda s: use_case(s.store), call)


def _on_begin(use_case: Callable[..., Any], call: Callable[[Scene, Do], Awaitable[Any]]) -> Case:
    return Case(lambda s: use_case(s.store.begin), call)


def _much_later(scene: Scene, do: Do) -> Awaitable[Any]:
    scene.world.clock.advance(timedelta(days=400))
    return do(a_job("sweep_expired"))


new = Password(ANOTHER_PASSWORD)
old = Password(PASSWORD)
CHANGE: Final = {"user_id": 1, "old_email": "ada@example.org", "new_email": "ada@example.net"}
CASES: Final[dict[str, Case]] = {
    "register": Case(
        lambda s: s.world.register,
        lambda s, do: do(email=Email("new@example.org"), password=old, full_name=None, client=CLIENT),
    ),
    "create a superuser": Case(
        lambda s: CreateSuperuser(s.store.begin, s.world.hash_new_password, s.world.clock),
        lambda s, do: do(email=Email("boss@example.org"), password=old),
    ),
    "promote": Case(
        lambda s: CreateSuperuser(s.store.begin, s.world.hash_new_password, s.world.clock),
        lambda s, do: do(email=s.ada.user.email, password=new),
    ),
    "get a user": _on_store(GetUser, lambda s, do: do(s.ada, s.ada.user.id)),
    "list users": _on_store(ListUsers, lambda s, do: do(s.root, PageRequest(), q="ada", is_active=None)),
    "rename": _on_begin(RenameUser, lambda s, do: do(s.ada, full_name="Ada")),
    "update a user": _on_begin(
        UpdateUser, lambda s, do: do(s.root, s.ada.user.id, UserChange(email=Email("ada@example.net")))
    ),
    "delete a user": _on_begin(DeleteUser, lambda s, do: do(s.root, s.ada.user.id)),
    "delete oneself": Case(lambda s: s.world.delete_own_account, lambda s, do: do(s.ada, password=old)),
    "ping": Case(lambda s: PingUser(s.store.begin, s.store, s.world.clock), lambda s, do: do(s.root, s.ada.user.id)),
    "sign in": Case(lambda s: s.world.sign_in, lambda s, do: do(email=s.ada.user.email, password=old, device=LAPTOP)),
    "sign in with a hash that is made anew": Case(
        lambda s: s.world.sign_in, lambda s, do: do(email="old@example.org", password=old, device=LAPTOP)
    ),
    "refresh": Case(lambda s: s.world.refresh, lambda s, do: do(s.pair.refresh_token)),
    "authenticate": Case(lambda s: s.world.authenticate, lambda s, do: do(s.pair.access_token)),
    "open a connection": Case(
        lambda s: OpenConnection(s.world.authenticate, s.world.tokens), lambda s, do: do(s.pair.access_token)
    ),
    "list sessions": _on_store(ListSessions, lambda s, do: do(s.ada)),
    "revoke a session": _on_begin(RevokeSession, lambda s, do: do(s.ada, s.ada.session_id)),
    "revoke the others": _on_begin(RevokeOtherSessions, lambda s, do: do(s.ada)),
    "change the password": Case(lambda s: s.world.change_password, lambda s, do: do(s.ada, current=old, new=new)),
    "forget the password": Case(lambda s: s.world.forgot_password, lambda s, do: do(s.ada.user.email, client=CLIENT)),
    "reset the password": Case(lambda s: s.world.reset_password, lambda s, do: do(token=s.tokens["password"], new=new)),
    "verify": Case(lambda s: s.world.verify_email, lambda s, do: do(s.tokens["eve"])),
    "ask for the mail again": Case(
        lambda s: s.world.resend_verification, lambda s, do: do(Email("eve@example.org"), client=CLIENT)
    ),
    "ask for another address": Case(
        lambda s: s.world.request_email_change,
        lambda s, do: do(s.ada, new_email=Email("ada@example.net"), password=old),
    ),
    "change the address": Case(lambda s: s.world.change_email, lambda s, do: do(s.tokens["address"])),
    "create an item": Case(
        lambda s: CreateItem(s.store.begin, s.world.clock), lambda s, do: do(s.ada, title="Milk", description=None)
    ),
    "create an item once": Case(
        lambda s: CreateItemOnce(DoOnce(s.store.begin, s.store), CreateItem(s.store.begin, s.world.clock)),
        lambda s, do: do(s.ada),
    ),
    "get an item": _on_store(GetItem, lambda s, do: do(s.ada, s.item.id)),
    "list items": _on_store(
        ListItems, lambda s, do: do(s.ada, PageRequest(), sort=ItemSort("-created_at"), q="tea", owner_id=None)
    ),
    "edit an item": Case(
        lambda s: EditItem(s.store.begin, s.world.clock),
        lambda s, do: do(s.ada, s.item.id, ItemChange(title="Coffee"), versions=None),
    ),
    "delete an item": _on_begin(DeleteItem, lambda s, do: do(s.ada, s.item.id, versions=None)),
    "remove items": _job("remove_items_of_user", lambda s: {"user_id": s.ada.user.id}),
    "remove changes": _job("remove_changes_of_user", lambda s: {"user_id": s.ada.user.id}),
    "start a task": Case(lambda s: s.world.start_task, lambda s, do: do(s.ada, TaskKind.EXPORT_ACCOUNT, {})),
    "get a task": _on_store(GetTask, lambda s, do: do(s.ada, s.task.id)),
    "list tasks": _on_store(ListTasks, lambda s, do: do(s.ada, PageRequest())),
    "cancel a task": Case(lambda s: CancelTask(s.store.begin, s.world.clock), lambda s, do: do(s.ada, s.task.id)),
    "settle tasks": _job("settle_tasks", lambda s: {}),
    "remove tasks": _job("remove_tasks_of_user", lambda s: {"user_id": s.ada.user.id}),
    "record activity": _job("record_activity", lambda s: {"user_id": 1, "at": "2026-03-01T12:00:00+00:00"}),
    "mail a verification": _job("mail_verification", lambda s: {"user_id": s.eve_id}),
    "mail it again": _job("mail_verification_again", lambda s: {"email": "eve@example.org"}),
    "mail a reset": _job("mail_password_reset", lambda s: {"email": s.ada.user.email}),
    "mail an address change": _job("mail_email_change", lambda s: CHANGE),
    "mail that it was asked for": _job("mail_email_change_requested", lambda s: CHANGE),
    "mail that it was done": _job("mail_email_changed", lambda s: CHANGE),
    "mail about the password": _job("mail_password_changed", lambda s: {"user_id": 1}),
    "sweep": Case(lambda s: s.world.handlers["sweep_expired"], _much_later),
}


def wired(scene: Scene, fuse: Fuse, case: Case) -> tuple[Wiring, Callable[[], Awaitable[Any]]]:
    """The call, on ports that go through the fuse."""
    world = scene.world
    ports = [
        *(world.store, world.clock, world.hasher, world.breached, world.secrets),
        *(world.mailer, world.throttle, world.tokens),
    ]
    wiring = Wiring(fuse, ports, world.store.begin)
    use_case = wiring(case.build(scene))
    return wiring, lambda: case.call(scene, use_case)


@dataclass
class Reference:
    """How it goes when nothing fails."""

    calls: list[str]
    states: list[dict[str, Any]]
    """What was kept at first, and after each commit."""
    shape: dict[str, Any]
    """What there is in the end, when all that follows is done too."""


async def undisturbed(case: Case) -> Reference:
    scene = await a_scene()
    states = [scene.state()]
    fuse = Fuse(on_commit=lambda: states.append(scene.state()))
    await wired(scene, fuse, case)[1]()
    assert scene.state() == states[-1]
    await scene.world.do_jobs()
    return Reference(fuse.calls, states, scene.shape())


def must_fit_together(state: dict[str, Any], waiting: set[str]) -> None:
    """What holds after every transaction."""
    assert {session.user_id for session in state["sessions"].values()} <= set(state["users"])
    assert {token.session_id for token in state["refresh_tokens"].values()} <= set(state["sessions"])
    orphans = {item.owner_id for item in state["items"].values()} - set(state["users"])
    assert not orphans or "remove_items_of_user" in waiting
    live = Counter((t.user_id, t.purpose) for t in state["mailed_tokens"].values() if not t.dead)
    assert not live or max(live.values()) == 1
    assert any(user.administers for user in state["users"].values())


async def jobs_of(scene: Scene) -> dict[str, str]:
    """The state of each kind of job that is there."""
    return {job.kind: job.state for job in await scene.store.jobs.list_jobs(state=None, limit=1000)}


@pytest.mark.parametrize("afterwards", [False, True], ids=["at once", "with its answer lost"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_whichever_call_fails_nothing_is_half_done_and_it_can_be_done_again(case: Case, afterwards: bool) -> None:
    reference = await undisturbed(case)
    assert reference.calls

    for number, name in enumerate(reference.calls):
        scene = await a_scene()
        fuse = Fuse(number, afterwards)

        with pytest.raises(PortFailed):
            await wired(scene, fuse, case)[1]()
        assert fuse.calls == reference.calls[: number + 1]
        committed = fuse.calls[: number + afterwards].count("commit")
        assert scene.state() == reference.states[committed], name
        must_fit_together(scene.state(), set(await jobs_of(scene)))

        if afterwards:
            with suppress(Refusal):  # it may have been done, and then that is said
                await wired(scene, Fuse(), case)[1]()
        else:
            await wired(scene, Fuse(), case)[1]()
        await scene.world.do_jobs()
        must_fit_together(scene.state(), set())
        assert "dead" not in (await jobs_of(scene)).values()
        assert len({mail.id for mail in scene.world.mailer.sent}) == len(
            {(m.id, m.token) for m in scene.world.mailer.sent}
        )
        if not afterwards:
            assert scene.shape() == reference.shape, name


async def test_a_worker_whose_queue_fails_at_any_call_does_every_job_all_the_same() -> None:
    async def worked(fuse: Fuse) -> World:
        world = World()
        await world.register(email=Email("ada@example.org"), password=old, full_name=None, client=CLIENT)
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
    for case in CASES.values():
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
