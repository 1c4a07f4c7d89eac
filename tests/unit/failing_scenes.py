"""What there is before a port fails, and the calls of use cases that are tried on it."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from itertools import count
from typing import Any, Final

from application.idempotency import DoOnce
from application.items import CreateItem
from application.sessions import TokenPair
from domain.events import ContentAbandoned, TaskUpdated
from domain.files import File
from domain.idempotency import Attempt
from domain.items import Item
from domain.passwords import Password
from domain.resumable import ResumableUpload
from domain.tasks import Task, TaskKind
from domain.users import Actor, Email
from tests.builders import PASSWORD, PHONE, World, a_job
from tests.fakes import FakePartner, plain_hash

CLIENT: Final = "192.0.2.1"
AGAIN: Final = (ContentAbandoned, TaskUpdated)
"""Events that are announced more often when something failed meanwhile."""


@dataclass
class Scene:
    """What there is before anything fails."""

    world: World
    pair: TokenPair
    ada: Actor
    root: Actor
    eve_id: int
    item: Item
    tokens: dict[str, str]
    """What was mailed: to `eve` who isn't verified yet, for a new `password`, for a new `address`."""
    partner: FakePartner = field(default_factory=lambda: FakePartner({"/data": [], "/users/1": {}, "/users/2": {}}))
    files: dict[str, File] = field(default_factory=dict)
    uploads: dict[str, ResumableUpload] = field(default_factory=dict)
    tasks: dict[TaskKind, Task] = field(default_factory=dict)
    forsaken: set[str] = field(default_factory=set)
    """Tasks whose job is gone."""
    uploads_expire: bool = False
    """Whether the uploads expire before all is compared: one that was begun in vain may stay until then."""

    @property
    def store(self) -> Any:
        return self.world.store

    @cached_property
    def once(self) -> DoOnce:
        """One for all attempts, as a process has it: it remembers what is under way."""
        return DoOnce(self.store.begin, self.store)

    def state(self) -> dict[str, Any]:
        """Everything that is kept, but the numbers to come."""
        tables = self.store._tables.copy()
        kept = {each.name: getattr(tables, each.name) for each in fields(tables)}
        counted = {name: rows for name, rows in kept.items() if not isinstance(rows, count)}
        return counted | {"announced": list(self.store.announced)}

    def shape(self) -> dict[str, Any]:
        """Everything that is kept or was sent, but for the names that things got by counting and for what is to be
        tidied up."""
        state = self.state()
        return {
            **{name: len(rows) for name, rows in state.items() if name not in ("claims", "announced", "changes")},
            "accounts": sorted((u.email, u.password_hash, u.is_verified, u.is_active) for u in state["users"].values()),
            "titles": sorted((item.title, item.version) for item in state["items"].values()),
            "labels": sorted((f.filename, f.content_type, f.sha256) for f in state["files"].values()),
            "received": sorted((u.filename, u.offset, u.file_id is None) for u in state["uploads"].values()),
            "done": sorted((t.kind, t.status, t.progress, t.message) for t in state["tasks"].values()),
            "imported": sorted((i.created, i.rejected, i.finished) for i in state["imports"].values()),
            "live tokens": Counter(token.purpose for token in state["mailed_tokens"].values() if not token.dead),
            "events": Counter(type(e) for e in state["announced"] if not isinstance(e, AGAIN)),
            "changes": Counter(c.event for c, _ in state["changes"].values() if c.channel != TOLD_AGAIN),
            "mails": Counter((mail.letter, mail.to) for mail in self.world.mailer.sent),
            "blobs": sorted(self.world.blob_store.blobs),
        }


TOLD_AGAIN: Final = "tasks"
"""The channel of what a second attempt tells once more: how far it is."""


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
            await world.actor(ada), new_email=Email("new@example.org"), password=Password(PASSWORD), client=CLIENT
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
    world.mailer.sent.clear()
    world.store.announced.clear()
    return Scene(world, pair, actor, root_actor, eve.id, item, tokens)


Do = Callable[..., Awaitable[Any]]
Prepare = Callable[[Scene], Awaitable[None]]


async def nothing_else(_: Scene) -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Case:
    """A use case, and one call of it that goes well."""

    build: Callable[[Scene], Any]
    call: Callable[[Scene, Do], Awaitable[Any]]
    prepare: Prepare = nothing_else
    """What there is besides."""
    goes_on: bool = False
    """Whether it does more after a failure, to tidy up: what is kept is not just what was committed until then."""
    once: bool = False
    """Whether it ends the same, however often it is done, and whether or not its answers arrive."""

    async def scene(self) -> Scene:
        scene = await a_scene()
        await self.prepare(scene)
        scene.store.announced.clear()
        return scene


def handler(kind: str, payload: Callable[[Scene], dict[str, Any]], **more: Any) -> Case:
    """What does the jobs of that kind."""
    return Case(lambda s: s.world.handlers[kind], lambda s, do: do(a_job(kind, **payload(s))), **more)


def on_store(use_case: Callable[..., Any], call: Callable[[Scene, Do], Awaitable[Any]], **more: Any) -> Case:
    return Case(lambda s: use_case(s.store), call, **more)


def on_begin(use_case: Callable[..., Any], call: Callable[[Scene, Do], Awaitable[Any]], **more: Any) -> Case:
    return Case(lambda s: use_case(s.store.begin), call, **more)


@dataclass(frozen=True)
class Once:
    """A use case behind a POST with an `Idempotency-Key`, put together as the routes do."""

    do_once: DoOnce
    use_case: Any

    async def __call__(self, actor: Actor, *arguments: Any, **named: Any) -> str:
        act = partial(self.use_case, actor, *arguments, **named)
        text, _ = await self.do_once(Attempt(actor.user.id, "key", "print"), lambda also: act(also=also), repr)
        return text


def at_once(case: Case) -> Case:
    """The same under an `Idempotency-Key`."""
    return replace(case, build=lambda s: Once(s.once, case.build(s)), once=True)


async def chunks(content: bytes, size: int = 4) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
