"""Doing a use case while a port fails, and what must hold whatever failed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from application.collecting import STAGED_GRACE
from domain.errors import Refusal
from domain.tasks import TaskKind, TaskStatus
from tests.builders import QUOTA_BYTES, a_job
from tests.unit.failing_ports import Fuse, PortFailed, Wiring
from tests.unit.failing_scenes import Case, Scene

SURVIVED: Final = ".discard"
"""How a call is named whose failure costs nobody anything: what can't be removed now is swept later."""


def wired(scene: Scene, fuse: Fuse, case: Case) -> tuple[Wiring, Callable[[], Awaitable[Any]]]:
    """The call, on ports that go through the fuse."""
    world = scene.world
    ports = [
        *(world.store, world.clock, world.hasher, world.breached, world.secrets, world.mailer, world.throttle),
        *(world.tokens, world.blob_store, world.images, scene.partner),
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
    scene = await case.scene()
    states = [scene.state()]
    fuse = Fuse(on_commit=lambda: states.append(scene.state()))
    await wired(scene, fuse, case)[1]()
    assert scene.state() == states[-1]
    await scene.world.do_jobs()
    await sweep(scene)
    return Reference(fuse.calls, states, scene.shape())


async def comes_to_nothing(doing: Awaitable[Any], fuse: Fuse) -> bool:
    """Do it, and what it leaves to others to be done to the end. Whether a port's failure came of it, or nothing did as
    whoever asked went away. Raises whatever else it does."""
    fuse.asking = asyncio.ensure_future(doing)
    outcome: Any = (await asyncio.gather(fuse.asking, return_exceptions=True))[0]
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    if isinstance(outcome, BaseException) and not isinstance(
        outcome, asyncio.CancelledError if fuse.leaves else PortFailed
    ):
        raise outcome
    return isinstance(outcome, BaseException)


async def must_survive(case: Case, reference: Reference, fuse: Fuse) -> None:
    """Do it while the fuse blows, and then again: nothing is half-done meanwhile, and in the end all is as it would be.

    One whose answer got lost may have been done, and then that is said.
    """
    assert fuse.blows_at is not None
    number, name = fuse.blows_at, reference.calls[fuse.blows_at]
    scene = await case.scene()
    failed = await comes_to_nothing(wired(scene, fuse, case)[1](), fuse)
    assert fuse.calls[: number + 1] == reference.calls[: number + 1]
    assert failed or name.endswith(SURVIVED) or (fuse.leaves and not fuse.left), name
    if not case.goes_on and fuse.leaves:  # what must not be left half done is done to the end
        assert scene.state() in reference.states, name
    elif not case.goes_on:
        assert len(fuse.calls) == number + 1
        assert scene.state() == reference.states[fuse.calls[: number + fuse.afterwards].count("commit")], name
    await must_fit_together(scene)

    may_be_done = fuse.afterwards or fuse.leaves
    if failed:
        with suppress(*((Refusal,) if may_be_done and not case.once else ())):
            await wired(scene, Fuse(), case)[1]()
    await scene.world.do_jobs()
    await must_fit_together(scene)
    assert not await jobs_of(scene)
    mails = scene.world.mailer.sent
    assert len({mail.id for mail in mails}) == len({(mail.id, mail.token) for mail in mails})
    await sweep(scene)
    must_be_tidy(scene)
    if case.once or not may_be_done:
        assert scene.shape() == reference.shape, name


async def jobs_of(scene: Scene) -> dict[str, str]:
    """The state of each kind of job that is there."""
    return {job.kind: job.state for job in await scene.store.jobs.list_jobs(state=None, limit=1000)}


async def must_fit_together(scene: Scene) -> None:
    """What holds after every transaction, whatever is still to be done."""
    state, waiting = scene.state(), set(await jobs_of(scene))
    assert {session.user_id for session in state["sessions"].values()} <= set(state["users"])
    assert {token.session_id for token in state["refresh_tokens"].values()} <= set(state["sessions"])
    for rows in ("items", "files", "uploads", "tasks"):
        orphans = {row.owner_id for row in state[rows].values()} - set(state["users"])
        assert not orphans or f"remove_{rows}_of_user" in waiting, rows
    live = Counter((t.user_id, t.purpose) for t in state["mailed_tokens"].values() if not t.dead)
    assert not live or max(live.values()) == 1
    assert any(user.administers for user in state["users"].values())
    bytes_must_fit_together(scene, state)
    uploads_must_fit_together(scene, state)
    tasks_must_fit_together(scene, state)


def bytes_must_fit_together(scene: Scene, state: dict[str, Any]) -> None:
    """Whatever refers to bytes has them; whatever is stored is accounted for; and nobody has more than is allowed."""
    stored = scene.world.blob_store.blobs
    for row in [*state["files"].values(), *state["thumbnails"].values()]:
        assert state["blobs"][row.sha256] == row.size == len(stored[row.sha256])
        assert sha256(stored[row.sha256]).hexdigest() == row.sha256
    assert set(stored) <= set(state["blobs"])
    assert {thumbnail.source for thumbnail in state["thumbnails"].values()} <= set(state["blobs"])
    assert {claim.sha256 for claim in state["claims"].values()} <= set(state["blobs"])
    for owner in state["users"]:
        files = sum(file.size for file in state["files"].values() if file.owner_id == owner)
        coming = [u.offset for u in state["uploads"].values() if u.owner_id == owner and u.file_id is None]
        assert files + sum(coming) <= QUOTA_BYTES


def uploads_must_fit_together(scene: Scene, state: dict[str, Any]) -> None:
    """An upload has just the bytes that it says it has, and is a file once it has them all."""
    for upload in state["uploads"].values():
        parts = state["upload_parts"][upload.id]
        assert upload.length == 0 or (upload.file_id is not None) == (upload.offset == upload.length)
        assert sum(part.size for part in parts) == (upload.offset if upload.file_id is None else 0)
        for part in parts:
            _, content = scene.world.blob_store.staged[part.key]
            assert (len(content), sha256(content).hexdigest()) == (part.size, part.sha256)


def tasks_must_fit_together(scene: Scene, state: dict[str, Any]) -> None:
    """A task that has ended has all that it says it has; any other one will be gone on with."""
    for task in state["tasks"].values():
        assert (task.status is TaskStatus.COMPLETED) == (task.progress == 100)
        assert task.has_ended or task.id in scene.forsaken or scene.store.jobs.will_be_done(task.id)
    exports = [t for t in state["tasks"].values() if t.kind is TaskKind.EXPORT_ACCOUNT]
    exported = {task.result["file_id"] for task in exports if task.status is TaskStatus.COMPLETED}
    assert exported == {file.id for file in state["files"].values() if file.content_type == "application/zip"}
    imported = [item.title for item in state["items"].values() if item.title.startswith("row ")]
    assert len(set(imported)) == len(imported) == sum(each.created for each in state["imports"].values())


async def sweep(scene: Scene) -> None:
    """What is done on a schedule, when all graces are over, and what follows from it."""
    scene.world.clock.advance(STAGED_GRACE + timedelta(seconds=1))
    if scene.uploads_expire:
        await scene.world.handlers["sweep_resumable_uploads"](a_job("sweep_resumable_uploads"))
    await scene.world.handlers["sweep_blobs"](a_job("sweep_blobs"))
    await scene.world.do_jobs()


def must_be_tidy(scene: Scene) -> None:
    """Once swept, nothing is stored or claimed that isn't used, and all that is used is there."""
    state = scene.state()
    used = {row.sha256 for row in [*state["files"].values(), *state["thumbnails"].values()]}
    assert used == set(state["blobs"]) == set(scene.world.blob_store.blobs)
    assert {claim.sha256 for claim in state["claims"].values()} <= used  # a dead one goes with the bytes
    parts = {part.key for parts in state["upload_parts"].values() for part in parts}
    assert set(scene.world.blob_store.staged) <= parts


async def must_survive_any_failure(case: Case) -> None:
    """Each call fails at once, loses its answer, is the first of an outage, or the last that somebody waits for."""
    reference = await undisturbed(case)
    assert reference.calls
    for number in range(len(reference.calls)):
        for afterwards in (False, True):
            await must_survive(case, reference, Fuse(number, afterwards))
            await must_survive(case, reference, Fuse(number, afterwards, leaves=True))
        if case.goes_on:
            await must_survive(case, reference, Fuse(number, stays_blown=True))
            await must_survive(case, reference, Fuse(number, afterwards=True, stays_blown=True))
