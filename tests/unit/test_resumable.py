import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application import resumable
from application.collecting import STAGED_GRACE
from application.ports.persistence import DatabaseFull, Work
from application.ports.storage import StorageFull
from application.uploads import Draft, Upload
from domain import resumable as rules
from domain.errors import Unavailable
from domain.events import FileCreated
from domain.files import FileTooLarge, InvalidFilename, QuotaExceeded
from domain.passwords import Password
from domain.resumable import (
    ALGORITHMS,
    LIFETIME,
    Checksum,
    ChecksumMismatch,
    LongerThanSaid,
    OffsetMismatch,
    ResumableUpload,
    TooManyParts,
    UploadNotFound,
)
from domain.users import Actor
from tests.builders import MAX_UPLOAD_BYTES, PASSWORD, QUOTA_BYTES, World, a_job

SENT = b"The Analytical Engine weaves algebraical patterns"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PART", 10)


async def an_actor(world: World, email: str = "ada@example.org", *, is_superuser: bool = False) -> Actor:
    return Actor(await world.has(email, is_superuser=is_superuser), "a session")


async def create(world: World, actor: Actor, length: int = len(SENT), filename: str = "a.txt") -> ResumableUpload:
    return await world.create_upload(
        actor, length=length, filename=filename, declared_type="text/plain", metadata="filename YS50eHQ="
    )


async def chunks(content: bytes, failure: Exception | None = None, size: int = 4) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
    if failure is not None:
        raise failure


async def send(
    world: World,
    actor: Actor,
    upload: ResumableUpload,
    content: bytes = SENT,
    *,
    offset: int = 0,
    failure: Exception | None = None,
    checksum: Checksum | None = None,
) -> ResumableUpload:
    return await world.receive_upload(
        actor, upload.id, offset=offset, chunks=chunks(content, failure), declared=0, checksum=checksum
    )


async def content_of(world: World, upload: ResumableUpload) -> bytes:
    assert upload.file_id is not None
    return world.blob_store.blobs[(await world.store.file(upload.file_id)).sha256]


async def test_a_finished_upload_is_a_file(world: World) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)
    assert (upload.offset, upload.file_id) == (0, None)
    finished = await send(world, ada, upload)
    assert finished.file_id is not None
    file = await world.store.file(finished.file_id)
    assert (file.filename, file.content_type, file.size, file.owner_id) == (
        "a.txt",
        "text/plain",
        len(SENT),
        ada.user.id,
    )
    assert await content_of(world, finished) == SENT
    assert await world.get_upload(ada, upload.id) == finished
    assert (finished.offset, world.blob_store.staged) == (len(SENT), {})
    assert world.store.announced == [FileCreated(file)]


@given(cuts=st.lists(st.integers(0, len(SENT)), max_size=6))
async def test_however_it_is_cut_the_file_is_the_same(cuts: list[int]) -> None:
    world = World()
    ada = await an_actor(world)
    upload = await create(world, ada)
    at = 0
    for cut in [*sorted(cuts), len(SENT)]:
        upload = await send(world, ada, upload, SENT[at:cut], offset=at)
        at = cut
        assert upload.offset == at
    assert await content_of(world, upload) == SENT
    assert world.blob_store.staged == {}


@pytest.mark.parametrize("cut", range(7))
async def test_two_requests_make_one_file(world: World, cut: int) -> None:
    ada = await an_actor(world)
    upload = await send(world, ada, await create(world, ada, 6), SENT[:cut])
    if cut < 6:
        upload = await send(world, ada, upload, SENT[cut:6], offset=cut)
    assert await content_of(world, upload) == SENT[:6]


async def test_what_came_in_one_part_is_not_copied(world: World) -> None:
    ada = await an_actor(world)
    world.blob_store.capacity = 8
    finished = await send(world, ada, await create(world, ada, 8), SENT[:8])
    assert finished.file_id is not None
    file = await world.store.file(finished.file_id)
    assert (file.size, file.sha256) == (8, hashlib.sha256(SENT[:8]).hexdigest())
    assert world.blob_store.blobs == {file.sha256: SENT[:8]}


@pytest.mark.parametrize(("size", "parts"), [(1, [10, 10, 10, 5]), (4, [12, 12, 11]), (5, [10, 10, 10, 5]), (99, [35])])
async def test_a_part_is_full_with_the_chunk_that_fills_it(world: World, size: int, parts: list[int]) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)
    await world.receive_upload(ada, upload.id, offset=0, chunks=chunks(SENT[:35], size=size), declared=0, checksum=None)
    assert [len(content) for _, content in world.blob_store.staged.values()] == parts


async def test_an_upload_of_nothing_is_an_empty_file(world: World) -> None:
    ada = await an_actor(world)
    assert await content_of(world, await send(world, ada, await create(world, ada, 0), b"")) == b""


@pytest.mark.parametrize("received", range(0, len(SENT), 7))
async def test_what_came_before_the_stream_failed_is_kept(world: World, received: int) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)
    with pytest.raises(ConnectionResetError):
        await send(world, ada, upload, SENT[:received], failure=ConnectionResetError())
    again = await world.get_upload(ada, upload.id)
    assert again.offset == received
    finished = await send(world, ada, upload, SENT[received:], offset=received)
    assert await content_of(world, finished) == SENT


async def test_all_bytes_make_a_file_even_if_the_stream_fails_then(world: World) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)
    with pytest.raises(ConnectionResetError):
        await send(world, ada, upload, SENT, failure=ConnectionResetError())
    assert await content_of(world, await world.get_upload(ada, upload.id)) == SENT


@pytest.mark.parametrize("offset", [0, 9, 11, 10**15])
async def test_another_offset_is_refused_and_changes_nothing(world: World, offset: int) -> None:
    ada = await an_actor(world)
    upload = await send(world, ada, await create(world, ada), SENT[:10])
    with pytest.raises(OffsetMismatch):
        await send(world, ada, upload, SENT[10:], offset=offset)
    assert await world.get_upload(ada, upload.id) == upload


@pytest.mark.parametrize("size", [8, len(SENT)])
async def test_of_two_who_send_at_once_one_counts(world: World, size: int) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)
    outcomes = await asyncio.gather(*(send(world, ada, upload, SENT[:size]) for _ in range(3)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["OffsetMismatch"] * 2 + ["ResumableUpload"]
    upload = await world.get_upload(ada, upload.id)
    if size < len(SENT):
        upload = await send(world, ada, upload, SENT[size:], offset=size)
    assert await content_of(world, upload) == SENT
    assert (len(world.store.announced), world.blob_store.staged) == (1, {})


async def test_more_than_was_said_is_refused(world: World) -> None:
    ada = await an_actor(world)
    upload = await send(world, ada, await create(world, ada), SENT[:20])
    with pytest.raises(LongerThanSaid):
        await send(world, ada, upload, SENT[20:] + b"!", offset=20)
    again = await world.get_upload(ada, upload.id)
    assert again.file_id is None
    assert await content_of(world, await send(world, ada, again, SENT[again.offset :], offset=again.offset)) == SENT


async def test_more_than_is_left_is_refused_as_soon_as_it_is_declared(world: World) -> None:
    ada = await an_actor(world)
    upload = await send(world, ada, await create(world, ada), SENT[:20])
    left = len(SENT) - 20

    async def unread() -> AsyncIterator[bytes]:
        pytest.fail("it was read")
        yield b""

    with pytest.raises(LongerThanSaid):
        await world.receive_upload(ada, upload.id, offset=20, chunks=unread(), declared=left + 1, checksum=None)
    finished = await world.receive_upload(
        ada, upload.id, offset=20, chunks=chunks(SENT[20:]), declared=left, checksum=None
    )
    assert await content_of(world, finished) == SENT


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_checksum_that_holds_lets_the_bytes_in(world: World, algorithm: str) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)
    for start, end in ((0, 25), (25, len(SENT))):
        checksum = Checksum(algorithm, hashlib.new(algorithm, SENT[start:end]).digest())
        upload = await send(world, ada, upload, SENT[start:end], offset=start, checksum=checksum)
    assert await content_of(world, upload) == SENT


@pytest.mark.parametrize("failure", [None, ConnectionResetError()])
async def test_a_checksum_that_does_not_hold_keeps_nothing(world: World, failure: Exception | None) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)
    checksum = Checksum("sha1", hashlib.sha1(b"something else").digest())
    with pytest.raises(ChecksumMismatch if failure is None else ConnectionResetError):
        await send(world, ada, upload, failure=failure, checksum=checksum)
    assert await world.get_upload(ada, upload.id) == upload
    assert world.blob_store.staged == {}


async def test_nobody_else_finds_an_upload(world: World) -> None:
    ada, bob = await an_actor(world), await an_actor(world, "bob@example.org", is_superuser=True)
    upload = await create(world, ada)
    for attempt in (
        world.get_upload(bob, upload.id),
        send(world, bob, upload),
        world.terminate_upload(bob, upload.id),
        world.get_upload(ada, "no such upload"),
    ):
        with pytest.raises(UploadNotFound):
            await attempt
    assert await world.get_upload(ada, upload.id) == upload


async def test_a_terminated_upload_is_gone_with_its_bytes_and_a_file_stays(world: World) -> None:
    ada = await an_actor(world)
    upload = await send(world, ada, await create(world, ada), SENT[:30])
    await world.terminate_upload(ada, upload.id)
    assert world.blob_store.staged == {}
    finished = await send(world, ada, await create(world, ada))
    await world.terminate_upload(ada, finished.id)
    for gone in (upload, finished):
        with pytest.raises(UploadNotFound):
            await world.get_upload(ada, gone.id)
    assert await content_of(world, finished) == SENT


async def test_an_upload_that_is_terminated_while_bytes_come_leaves_nothing(world: World) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)

    async def terminated_meanwhile() -> AsyncIterator[bytes]:
        yield SENT[:10]
        yield SENT[10:20]
        await world.terminate_upload(ada, upload.id)
        yield SENT[20:]

    with pytest.raises(OffsetMismatch):
        await world.receive_upload(ada, upload.id, offset=0, chunks=terminated_meanwhile(), declared=0, checksum=None)
    assert (world.blob_store.staged, world.store.announced) == ({}, [])


async def test_an_expired_upload_is_gone_and_swept_with_its_bytes(world: World) -> None:
    ada = await an_actor(world)
    old = await send(world, ada, await create(world, ada), SENT[:30])
    world.clock.advance(timedelta(hours=1))
    young = await send(world, ada, await create(world, ada), SENT[:10])
    world.clock.advance(LIFETIME - timedelta(hours=1))
    for attempt in (
        world.get_upload(ada, old.id),
        send(world, ada, old, offset=30),
        world.terminate_upload(ada, old.id),
    ):
        with pytest.raises(UploadNotFound):
            await attempt
    await world.handlers["sweep_resumable_uploads"](a_job())
    assert len(world.blob_store.staged) == 1
    assert await content_of(world, await send(world, ada, young, SENT[10:], offset=10)) == SENT
    with pytest.raises(UploadNotFound):
        await world.store.resumable_upload(old.id)


def test_what_belongs_to_a_live_upload_is_too_young_to_be_swept() -> None:
    assert STAGED_GRACE >= 2 * LIFETIME


async def test_a_deleted_account_takes_its_uploads_along(world: World) -> None:
    ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
    for actor in (ada, bob):
        await send(world, actor, await create(world, actor), SENT[:30])
    await world.delete_own_account(ada, password=Password(PASSWORD))
    await world.do_jobs()
    assert [await world.store.bytes_used_by(actor.user.id) for actor in (ada, bob)] == [0, 30]
    assert len(world.blob_store.staged) == 3


async def begin(
    world: World,
    actor: Actor,
    length: int,
    content: bytes | None,
    failure: Exception | None = None,
    checksum: Checksum | None = None,
) -> Any:
    return await world.begin_upload(
        actor,
        length=length,
        filename="a.txt",
        declared_type="text/plain",
        metadata="filename YS50eHQ=",
        chunks=None if content is None else chunks(content, failure),
        declared=0,
        checksum=checksum,
    )


async def test_an_upload_may_begin_with_nothing_with_some_of_it_or_with_all(world: World) -> None:
    ada = await an_actor(world)
    for content in (None, b"", SENT[:20], SENT):
        upload = await begin(world, ada, len(SENT), content)
        assert (upload.offset, upload.file_id is not None) == (len(content or b""), content == SENT)
        assert (upload.filename, upload.content_type, upload.metadata) == ("a.txt", "text/plain", "filename YS50eHQ=")
        assert await world.get_upload(ada, upload.id) == upload
    for nothing in (None, b""):
        assert (await begin(world, ada, 0, nothing)).file_id is not None


@pytest.mark.parametrize(
    ("content", "failure", "checksum", "expected"),
    [
        (SENT + b"!", None, None, LongerThanSaid),
        (SENT[:20], ConnectionError(), None, ConnectionError),
        (SENT[:20], None, Checksum("sha1", hashlib.sha1(b"something else").digest()), ChecksumMismatch),
    ],
)
async def test_an_upload_whose_first_bytes_are_refused_is_given_up(
    world: World,
    content: bytes,
    failure: Exception | None,
    checksum: Checksum | None,
    expected: type[Exception],
) -> None:
    ada = await an_actor(world)
    with pytest.raises(expected):
        await begin(world, ada, len(SENT), content, failure, checksum)
    assert await world.store.bytes_used_by(ada.user.id) == 0
    assert world.blob_store.staged == {}


async def test_what_is_too_large_or_has_no_name_is_refused_at_once(world: World) -> None:
    ada = await an_actor(world)
    with pytest.raises(FileTooLarge, match=f"^File size exceeds {MAX_UPLOAD_BYTES} bytes$"):
        await create(world, ada, MAX_UPLOAD_BYTES + 1)
    with pytest.raises(InvalidFilename):
        await create(world, ada, filename="/")


async def test_the_quota_counts_what_is_on_its_way(world: World) -> None:
    ada = await an_actor(world)
    uploads = [await create(world, ada, MAX_UPLOAD_BYTES) for _ in range(4)]
    for upload in uploads[:2]:
        await send(world, ada, upload, bytes(MAX_UPLOAD_BYTES - 1))
    left = QUOTA_BYTES - 2 * (MAX_UPLOAD_BYTES - 1)
    with pytest.raises(QuotaExceeded):
        await create(world, ada, left + 1)
    with pytest.raises(QuotaExceeded):
        await send(world, ada, uploads[2], bytes(left + 1))
    assert (await world.get_upload(ada, uploads[2].id)).offset <= left
    await world.terminate_upload(ada, uploads[0].id)
    await send(world, ada, await create(world, ada, left + 1), bytes(left + 1))


async def whole(content: bytes) -> AsyncIterator[Upload]:
    yield Upload("b.txt", "text/plain", chunks(content, size=100))


async def test_a_file_in_one_request_has_the_room_that_what_is_on_its_way_leaves(world: World) -> None:
    ada = await an_actor(world)
    for _ in range(2):
        await send(world, ada, await create(world, ada, MAX_UPLOAD_BYTES), bytes(MAX_UPLOAD_BYTES - 1))
    left = QUOTA_BYTES - 2 * (MAX_UPLOAD_BYTES - 1)
    with pytest.raises(QuotaExceeded):
        await world.store_files(ada, whole(bytes(left + 1)))
    staged = await world.blob_store.stage(chunks(bytes(left)))
    await send(world, ada, await create(world, ada), SENT[:1])
    with pytest.raises(QuotaExceeded):
        await world.keep_drafts(ada.user.id, [Draft("b.txt", "text/plain", staged)])
    await world.store_files(ada, whole(bytes(left - 1)))
    assert await world.store.bytes_used_by(ada.user.id) == QUOTA_BYTES


async def test_an_upload_that_is_finished_counts_once_and_what_is_still_on_its_way_beside_it(world: World) -> None:
    ada = await an_actor(world)
    await world.store_files(ada, whole(bytes(QUOTA_BYTES - MAX_UPLOAD_BYTES - 500)))
    last = await send(world, ada, await create(world, ada, MAX_UPLOAD_BYTES), bytes(600))
    other = await send(world, ada, await create(world, ada, 600), bytes(501))
    with pytest.raises(QuotaExceeded):
        await send(world, ada, last, bytes(400), offset=600)
    await world.terminate_upload(ada, other.id)
    await world.store_files(ada, whole(bytes(500)))
    offset = (await world.get_upload(ada, last.id)).offset
    last = await send(world, ada, last, bytes(MAX_UPLOAD_BYTES - offset), offset=offset)
    assert last.file_id is not None
    assert await world.store.bytes_used_by(ada.user.id) == QUOTA_BYTES


async def test_a_full_or_absent_store_costs_no_more_than_the_last_part(world: World) -> None:
    ada = await an_actor(world)
    upload = await send(world, ada, await create(world, ada), SENT[:12])
    world.blob_store.capacity = 40
    with pytest.raises(StorageFull):
        await send(world, ada, upload, SENT[12:], offset=12)
    upload = await world.get_upload(ada, upload.id)
    world.blob_store.available = False
    with pytest.raises(Unavailable):
        await send(world, ada, upload, SENT[upload.offset :], offset=upload.offset)
    assert await world.get_upload(ada, upload.id) == upload
    world.blob_store.available, world.blob_store.capacity = True, None
    assert await content_of(world, await send(world, ada, upload, SENT[upload.offset :], offset=upload.offset)) == SENT


async def test_a_database_without_room_is_a_full_store_and_nothing_is_left_of_what_came(world: World) -> None:
    ada = await an_actor(world)
    upload = await create(world, ada)

    @asynccontextmanager
    async def full() -> AsyncIterator[Work]:
        async with world.store.begin() as work:
            yield work
            raise DatabaseFull

    receive = replace(world.receive_upload, begin=full)
    for content in (SENT[:9], SENT[:30]):
        with pytest.raises(StorageFull):
            await receive(ada, upload.id, offset=0, chunks=chunks(content), declared=0, checksum=None)
        assert world.blob_store.staged == {}
    assert await world.get_upload(ada, upload.id) == upload


async def test_a_file_that_can_not_be_made_leaves_the_upload_as_it_was(world: World) -> None:
    ada = await an_actor(world)
    upload = await send(world, ada, await create(world, ada), SENT[:30])
    world.store.available = False
    with pytest.raises(Unavailable):
        await send(world, ada, upload, SENT[30:], offset=30)
    world.store.available = True
    assert await world.get_upload(ada, upload.id) == upload
    assert await content_of(world, await send(world, ada, upload, SENT[30:], offset=30)) == SENT
    assert world.blob_store.staged == {}


async def test_whoever_sends_byte_by_byte_is_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_PARTS", 3)
    ada = await an_actor(world)
    upload = await create(world, ada)
    for offset in range(3):
        upload = await send(world, ada, upload, SENT[offset : offset + 1], offset=offset)
    with pytest.raises(TooManyParts):
        await send(world, ada, upload, SENT[3:4], offset=3)
    assert len(world.blob_store.staged) == 3
