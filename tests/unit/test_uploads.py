"""Storing files: at whichever step it ends, nothing is half there."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from adapters.storage import disk, s3
from application.collecting import CLAIM_GRACE, LEASE, STAGED_GRACE, START, CollectBlob, SweepBlobs
from application.ports.persistence import Work
from application.ports.persistence.blobs import BeingDeleted
from application.ports.storage import Staged, StorageFull
from application.uploads import Draft, KeepDrafts, KeepStaged, Upload
from domain.errors import Unavailable
from domain.events import ContentAbandoned, FileCreated
from domain.files import File, FileTooLarge, InvalidFilename, QuotaExceeded
from domain.pages import PageRequest
from domain.sessions import InvalidAccessToken
from domain.users import Actor
from tests.builders import MAX_UPLOAD_BYTES, QUOTA_BYTES, World, a_job
from tests.fakes import InMemoryBlobStore
from tests.unit.failing_ports import Fuse


class ClientLeft(Exception):
    pass


async def an_actor(world: World, email: str = "ada@example.org") -> Actor:
    return Actor(await world.has(email), "a session")


async def chunks(content: bytes, failure: BaseException | None = None) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100):
        yield content[start : start + 100]
    if failure is not None:
        raise failure


async def uploads(*contents: bytes, failure: BaseException | None = None) -> AsyncIterator[Upload]:
    """One file of each content; the last one fails after its last byte, if it is to."""
    for n, content in enumerate(contents, 1):
        yield Upload(f"{n}.txt", "text/plain", chunks(content, failure if n == len(contents) else None))


async def store(world: World, actor: Actor, *contents: bytes, failure: BaseException | None = None) -> Sequence[File]:
    return await world.store_files(actor, uploads(*contents, failure=failure))


async def files_of(world: World, actor: Actor) -> Sequence[File]:
    return (await world.store.files(actor.user.id, PageRequest(limit=100))).items


async def nothing_is_left(world: World, actor: Actor) -> bool:
    """Once what follows is done."""
    await world.do_jobs()
    left = (await files_of(world, actor), world.store.claims, world.store.blobs)
    return not any(left) and not world.blob_store.staged and not world.blob_store.blobs


async def test_what_is_sent_is_stored_hashed_and_announced(world: World) -> None:
    ada = await an_actor(world)
    (file,) = await store(world, ada, b"tea" * 100)
    assert (file.filename, file.content_type, file.size) == ("1.txt", "text/plain", 300)
    assert file.sha256 == sha256(b"tea" * 100).hexdigest()
    assert (file.owner_id, file.image, file.created_at) == (ada.user.id, None, world.clock.now())
    assert world.blob_store.blobs == {file.sha256: b"tea" * 100}
    assert await world.store.file(file.id) == file
    assert world.store.announced == [FileCreated(file)]
    assert not world.store.claims
    assert not world.blob_store.staged


async def test_equal_content_is_stored_once(world: World) -> None:
    ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
    first, second = await store(world, ada, b"tea", b"tea")
    (third,) = await store(world, bob, b"tea")
    assert len({first.id, second.id, third.id}) == 3
    assert world.blob_store.blobs == {first.sha256: b"tea"}


async def test_an_empty_file_is_a_file(world: World) -> None:
    (file,) = await store(world, await an_actor(world), b"")
    assert (file.size, file.sha256) == (0, sha256(b"").hexdigest())


async def test_the_largest_file_is_stored_and_a_byte_more_is_not(world: World) -> None:
    ada = await an_actor(world)
    with pytest.raises(FileTooLarge, match="File size exceeds 1000 bytes"):
        await store(world, ada, bytes(MAX_UPLOAD_BYTES + 1))
    assert await nothing_is_left(world, ada)
    await store(world, ada, bytes(MAX_UPLOAD_BYTES))


@pytest.mark.parametrize(
    ("stored", "beside", "room", "refusal"),
    [
        ([], [], MAX_UPLOAD_BYTES, FileTooLarge),
        ([1000, 1000], [], QUOTA_BYTES - 2000, QuotaExceeded),
        ([1000], [1000], QUOTA_BYTES - 2000, QuotaExceeded),
        ([], [1000, 1000], QUOTA_BYTES - 2000, QuotaExceeded),
    ],
)
async def test_a_stream_is_left_as_soon_as_it_is_too_much(
    world: World, stored: Sequence[int], beside: Sequence[int], room: int, refusal: type[Exception]
) -> None:
    ada = await an_actor(world)
    await store(world, ada, *map(bytes, stored))
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 100
            yield bytes(100)

    async def upload() -> AsyncIterator[Upload]:
        for size in beside:
            yield Upload("beside", None, chunks(bytes(size)))
        yield Upload("endless", None, endless())

    with pytest.raises(refusal):
        await world.store_files(ada, upload())
    assert read == room + 100
    assert not world.blob_store.staged


async def test_what_is_staged_alone_may_take_all_room(world: World) -> None:
    ada = await an_actor(world)
    staged = await world.stage_upload(ada.user.id, chunks(bytes(QUOTA_BYTES)), limit=QUOTA_BYTES)
    assert staged.size == QUOTA_BYTES


async def test_all_room_may_be_used_and_a_byte_more_is_refused(world: World) -> None:
    ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
    await store(world, ada, bytes(1000), bytes(1000))
    with pytest.raises(QuotaExceeded):
        await store(world, ada, bytes(501))
    with pytest.raises(QuotaExceeded):
        await store(world, ada, bytes(300), bytes(201))
    await store(world, ada, bytes(500))
    await store(world, ada, b"")
    await store(world, bob, bytes(1000))
    assert await world.store.bytes_used_by(ada.user.id) == QUOTA_BYTES
    assert not world.blob_store.staged


async def test_of_many_uploads_at_once_only_as_many_are_stored_as_there_is_room_for(world: World) -> None:
    ada = await an_actor(world)
    contents = [bytes([n]) * 1000 for n in range(20)]
    results = await asyncio.gather(*(store(world, ada, content) for content in contents), return_exceptions=True)
    assert sum(isinstance(result, QuotaExceeded) for result in results) == 18
    await world.do_jobs()
    assert len(await files_of(world, ada)) == 2
    assert len(world.blob_store.blobs) == 2 == len(world.store.blobs)
    assert not world.blob_store.staged
    assert not world.store.claims


@pytest.mark.parametrize("failure", [ClientLeft(), asyncio.CancelledError()])
async def test_a_client_that_leaves_leaves_nothing_behind(world: World, failure: BaseException) -> None:
    ada = await an_actor(world)
    with pytest.raises(type(failure)):
        await store(world, ada, b"first", b"second", failure=failure)
    assert await nothing_is_left(world, ada)


async def test_a_name_that_is_none_refuses_all_files(world: World) -> None:
    ada = await an_actor(world)

    async def named() -> AsyncIterator[Upload]:
        yield Upload("good", None, chunks(b"tea"))
        yield Upload("..", None, chunks(b"milk"))

    with pytest.raises(InvalidFilename):
        await world.store_files(ada, named())
    assert await nothing_is_left(world, ada)


async def test_a_full_store_leaves_nothing_and_the_next_upload_works(world: World) -> None:
    ada = await an_actor(world)
    world.blob_store.capacity = 300
    with pytest.raises(StorageFull):
        await store(world, ada, bytes(200), bytes(200))
    assert await nothing_is_left(world, ada)
    await store(world, ada, bytes(200))


async def test_an_account_that_is_deleted_meanwhile_gets_no_file(world: World) -> None:
    ada = await an_actor(world)

    async def deleting() -> AsyncIterator[bytes]:
        yield b"tea"
        async with world.store.begin() as work:
            await work.users.delete(ada.user.id)

    async def upload() -> AsyncIterator[Upload]:
        yield Upload("tea", None, deleting())

    with pytest.raises(InvalidAccessToken):
        await world.store_files(ada, upload())
    assert await nothing_is_left(world, ada)


class TestInterrupted:
    """Between the steps of `KeepDrafts`."""

    async def draft(self, world: World, content: bytes = b"tea") -> Draft:
        return Draft("tea", "text/plain", await world.blob_store.stage(chunks(content)))

    async def test_what_is_done_with_the_files_is_part_of_storing_them(self, world: World) -> None:
        ada = await an_actor(world)

        async def also(work: Work, files: Sequence[File]) -> None:
            assert [await work.files.get(file.id) for file in files] == files
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await world.keep_drafts(ada.user.id, [await self.draft(world)], also)
        assert world.store.announced == [ContentAbandoned(sha256(b"tea").hexdigest())]
        assert await nothing_is_left(world, ada)

    async def test_bytes_that_cannot_be_kept_are_swept_with_what_was_kept_beside_them(self, world: World) -> None:
        ada = await an_actor(world)
        gone = Draft("tea", "text/plain", Staged("never", sha256(b"tea").hexdigest(), 3))
        with pytest.raises(Exception, match="no longer there"):
            await world.keep_drafts(ada.user.id, [await self.draft(world, b"milk"), gone])
        assert not world.blob_store.staged
        await self.sweep_later(world)
        assert await nothing_is_left(world, ada)

    async def test_without_the_database_the_claim_stays_and_the_sweep_collects(self, world: World) -> None:
        ada = await an_actor(world)
        draft = await self.draft(world)

        async def also(_: Work, __: Sequence[File]) -> None:
            world.store.available = False
            raise Unavailable

        with pytest.raises(Unavailable):
            await world.keep_drafts(ada.user.id, [draft], also)
        world.store.available = True
        assert world.store.claims
        await self.sweep_later(world)
        assert await nothing_is_left(world, ada)

    async def test_a_step_of_the_store_is_not_left_half_done(self, world: World) -> None:
        ada = await an_actor(world)
        begun, end = asyncio.Event(), asyncio.Event()

        class Slow(InMemoryBlobStore):
            async def keep(self, staged: Staged) -> None:
                await super().keep(staged)
                begun.set()
                await end.wait()

            async def delete(self, sha256: str) -> None:
                begun.set()
                await end.wait()
                await super().delete(sha256)

        slow = Slow(world.clock, staged=world.blob_store.staged, blobs=world.blob_store.blobs)
        keep_staged = KeepStaged(world.store.begin, slow, world.secrets, world.clock)
        keep_drafts = KeepDrafts(keep_staged, world.clock, QUOTA_BYTES)
        collect = CollectBlob(world.store.begin, slow, world.clock)

        async def leave(work: Coroutine[Any, Any, object]) -> None:
            """Go away in the middle of the step, and come back when it is done."""
            doing = asyncio.create_task(work)
            await begun.wait()
            doing.cancel()
            await asyncio.sleep(0)
            assert not doing.done()
            end.set()
            with pytest.raises(asyncio.CancelledError):
                await doing
            begun.clear()
            end.clear()

        await leave(keep_drafts(ada.user.id, [await self.draft(world)]))
        assert slow.blobs
        world.clock.advance(CLAIM_GRACE + timedelta(seconds=1))
        await leave(collect(a_job(sha256=sha256(b"tea").hexdigest())))
        assert not slow.blobs
        await self.sweep_later(world)
        assert await nothing_is_left(world, ada)

    async def sweep_later(self, world: World) -> None:
        world.clock.advance(CLAIM_GRACE + timedelta(seconds=1))
        await world.handlers["sweep_blobs"](a_job())

    async def test_an_upload_that_was_taken_for_dead_fails(self, world: World) -> None:
        ada = await an_actor(world)
        draft = await self.draft(world)

        class Slow(InMemoryBlobStore):
            async def keep(self, staged: Staged) -> None:
                await super().keep(staged)
                world.clock.advance(CLAIM_GRACE + timedelta(seconds=1))
                await world.handlers["sweep_blobs"](a_job())

        slow = Slow(world.clock, staged=world.blob_store.staged, blobs=world.blob_store.blobs)
        keep_staged = KeepStaged(world.store.begin, slow, world.secrets, world.clock)
        keep_drafts = KeepDrafts(keep_staged, world.clock, QUOTA_BYTES)
        with pytest.raises(Unavailable):
            await keep_drafts(ada.user.id, [draft])
        assert await nothing_is_left(world, ada)


@dataclass
class SlowlyDeleting(InMemoryBlobStore):
    """Deletes nothing before `end`."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    end: asyncio.Event = field(default_factory=asyncio.Event)

    async def delete(self, sha256: str) -> None:
        self.begun.set()
        await self.end.wait()
        await super().delete(sha256)


class TestCollecting:
    async def collect(self, world: World, content: bytes = b"tea") -> None:
        await world.handlers["collect_blob"](a_job(sha256=sha256(content).hexdigest()))

    async def test_bytes_go_with_the_last_file_that_refers_to_them(self, world: World) -> None:
        ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
        (file,) = await store(world, ada, b"tea")
        (other,) = await store(world, bob, b"tea")
        await world.delete_file(ada, file.id)
        await world.do_jobs()
        assert world.blob_store.blobs
        await world.delete_file(bob, other.id)
        await world.do_jobs()
        assert not world.blob_store.blobs
        assert not world.store.blobs

    async def test_a_collection_that_fails_is_done_again(self, world: World) -> None:
        ada = await an_actor(world)
        (file,) = await store(world, ada, b"tea")
        await world.delete_file(ada, file.id)
        world.blob_store.available = False
        with pytest.raises(Unavailable):
            await self.collect(world)
        assert world.store.blobs
        world.blob_store.available = True
        with pytest.raises(BeingDeleted):  # the store may still do what it gave no answer to
            await self.collect(world)
        world.clock.advance(LEASE)
        await self.collect(world)
        await self.collect(world)
        assert await nothing_is_left(world, ada)

    async def test_no_transaction_waits_while_the_store_deletes(self, world: World) -> None:
        ada = await an_actor(world)
        slow = await self.slowly_deleted(world, ada)
        collecting = asyncio.create_task(self.collector(world, slow)(a_job(sha256=sha256(b"tea").hexdigest())))
        await slow.begun.wait()
        (other,) = await store(world, ada, b"milk")
        slow.end.set()
        await collecting
        assert world.blob_store.blobs == {other.sha256: b"milk"}
        assert world.store.blobs == [other.sha256]

    async def test_an_upload_waits_for_the_deletion_of_its_bytes(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("application.uploads.PAUSES", [0] * 100)
        ada = await an_actor(world)
        slow = await self.slowly_deleted(world, ada)
        collecting = asyncio.create_task(self.collector(world, slow)(a_job(sha256=sha256(b"tea").hexdigest())))
        await slow.begun.wait()
        storing = asyncio.create_task(store(world, ada, b"tea"))
        for _ in range(50):
            await asyncio.sleep(0)
        slow.end.set()
        await collecting
        (file,) = await storing
        assert world.blob_store.blobs == {file.sha256: b"tea"}

    async def test_an_upload_of_bytes_whose_deletion_is_unknown_fails_until_the_lease_is_over(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("application.uploads.PAUSES", [0] * 3)
        ada = await an_actor(world)
        slow = await self.slowly_deleted(world, ada)
        dying = asyncio.create_task(slow.delete(sha256(b"tea").hexdigest()))  # what a host had sent that died then
        async with world.store.begin() as work:
            await work.blobs.doom(sha256(b"tea").hexdigest(), claimed_before=world.clock.now(), lease=LEASE)
        with pytest.raises(Unavailable):
            await store(world, ada, b"tea")
        assert not world.blob_store.staged
        slow.end.set()
        await dying
        world.clock.advance(LEASE)
        (file,) = await store(world, ada, b"tea")
        assert world.blob_store.blobs == {file.sha256: b"tea"}

    async def test_a_host_that_stood_still_before_the_deletion_leaves_it(self, world: World) -> None:
        ada = await an_actor(world)
        (file,) = await store(world, ada, b"tea")
        await world.delete_file(ada, file.id)
        stored: list[File] = []

        @asynccontextmanager
        async def begin() -> AsyncIterator[Work]:
            async with world.store.begin() as work:
                yield work
            world.clock.advance(LEASE)  # by then somebody else may have these bytes
            stored.extend(await store(world, ada, b"tea"))

        with pytest.raises(Unavailable):
            await CollectBlob(begin, world.blob_store, world.clock)(a_job(sha256=file.sha256))
        await world.do_jobs()
        assert world.blob_store.blobs == {stored[0].sha256: b"tea"}

    async def test_what_a_collection_that_died_left_is_swept_after_its_lease(self, world: World) -> None:
        ada = await an_actor(world)
        (file,) = await store(world, ada, b"tea")
        async with world.store.begin() as work:
            await work.files.delete(file.id)
            await work.blobs.doom(file.sha256, claimed_before=world.clock.now(), lease=LEASE)
        await world.handlers["sweep_blobs"](a_job())
        assert world.blob_store.blobs
        world.clock.advance(LEASE)
        await world.handlers["sweep_blobs"](a_job())
        assert await nothing_is_left(world, ada)

    def test_the_lease_outlasts_whatever_a_store_takes(self) -> None:
        assert START + timedelta(seconds=max(disk.WAIT, s3.WAIT)) <= LEASE / 4

    async def slowly_deleted(self, world: World, actor: Actor) -> "SlowlyDeleting":
        """A store whose deletions wait, with bytes whose file is gone."""
        (file,) = await store(world, actor, b"tea")
        async with world.store.begin() as work:
            await work.files.delete(file.id)
        return SlowlyDeleting(world.clock, staged=world.blob_store.staged, blobs=world.blob_store.blobs)

    def collector(self, world: World, blobs: InMemoryBlobStore) -> CollectBlob:
        return CollectBlob(world.store.begin, blobs, world.clock)

    async def test_an_upload_under_way_keeps_its_bytes(self, world: World) -> None:
        ada = await an_actor(world)

        async def also(_: Work, __: Sequence[File]) -> None:
            assert world.blob_store.blobs

        draft = Draft("tea", "text/plain", await world.blob_store.stage(chunks(b"tea")))
        world.clock.advance(STAGED_GRACE)
        await world.handlers["sweep_blobs"](a_job())
        await world.keep_drafts(ada.user.id, [draft], also)

    async def test_bytes_that_somebody_just_uploads_again_are_not_collected(self, world: World) -> None:
        ada = await an_actor(world)
        (file,) = await store(world, ada, b"tea")
        await world.delete_file(ada, file.id)
        staged = await world.blob_store.stage(chunks(b"tea"))
        await world.claim(staged)
        world.clock.advance(CLAIM_GRACE)
        await self.collect(world)
        assert world.blob_store.blobs == {file.sha256: b"tea"}
        world.clock.advance(timedelta(seconds=1))
        await self.collect(world)
        assert not world.blob_store.blobs

    async def test_what_a_dead_upload_left_is_swept_after_its_grace(self, world: World) -> None:
        ada = await an_actor(world)
        await world.blob_store.stage(chunks(b"staged"))
        staged = await world.blob_store.stage(chunks(b"kept"))
        await world.claim(staged)
        await world.blob_store.keep(staged)
        world.clock.advance(CLAIM_GRACE)
        await world.handlers["sweep_blobs"](a_job())
        assert world.blob_store.blobs
        assert world.blob_store.staged
        world.clock.advance(STAGED_GRACE)
        await world.handlers["sweep_blobs"](a_job())
        assert await nothing_is_left(world, ada)

    async def test_a_sweep_goes_through_all_there_is(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("application.collecting.BATCH", 2)
        ada = await an_actor(world)
        (kept,) = await store(world, ada, b"kept")
        for n in range(5):
            staged = await world.blob_store.stage(chunks(b"%d" % n))
            await world.claim(staged)
            await world.blob_store.keep(staged)
        world.clock.advance(CLAIM_GRACE + timedelta(seconds=1))
        fuse, handler = Fuse(), world.handlers["sweep_blobs"]
        assert isinstance(handler, SweepBlobs)
        await replace(handler, reads=fuse.wire("reads", world.store))(a_job())
        assert fuse.calls == ["reads.unused_blobs"] * 3
        assert world.blob_store.blobs == {kept.sha256: b"kept"}
        assert world.store.blobs == [kept.sha256]
