"""What every store of blobs promises."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.storage.disk import BLOCK
from application.ports.storage import BlobMissing, Staged
from tests.contracts.blobs import (
    CONTENT,
    CONTENT_SHA256,
    Subject,
    all_of,
    in_bucket,
    in_chunks,
    in_memory,
    kept,
    on_disk,
)
from tests.fakes import SettableClock

HOUR = timedelta(hours=1)
LARGE = bytes(range(256)) * (5 * BLOCK // 256) + b"the end"
"""More than two parts of a multipart upload."""
NO_HASHES = ["0" * 64, "", "../../etc/passwd", "A" * 64, CONTENT_SHA256 + "\n", "\0"]


@pytest.fixture(params=["memory", "disk", "moto", "rclone"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    if request.param == "disk":
        return on_disk(tmp_path / "files")
    if request.param in ("moto", "rclone"):
        return in_bucket(request.getfixturevalue(request.param))
    return in_memory(SettableClock(datetime.now(UTC)))


async def test_what_was_staged_and_kept_is_read(subject: Subject) -> None:
    staged = await kept(subject.blobs)

    assert (staged.sha256, staged.size) == (CONTENT_SHA256, len(CONTENT))
    assert await all_of(subject.blobs.read(CONTENT_SHA256)) == CONTENT


@pytest.mark.parametrize("content", [b"", b"\0", LARGE[:BLOCK], LARGE[: BLOCK + 1], LARGE], ids=len)
@pytest.mark.parametrize("chunk", [65536, 100_000_000])
async def test_any_size_comes_back_as_it_was(subject: Subject, content: bytes, chunk: int) -> None:
    staged = await subject.blobs.stage(in_chunks(content, chunk))

    assert (staged.sha256, staged.size) == (sha256(content).hexdigest(), len(content))
    assert await all_of(subject.blobs.read_staged(staged)) == content
    await subject.blobs.keep(staged)
    assert await all_of(subject.blobs.read(staged.sha256)) == content


async def test_empty_chunks_change_nothing(subject: Subject) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"", CONTENT[:10], b"", CONTENT[10:], b""):
            yield chunk

    assert (await subject.blobs.stage(chunks())).sha256 == CONTENT_SHA256


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (4, 14), (10, None), (0, 10**9), (48, 49), (49, None), (49, 60), (10**12, None), (7, 7)]
)
async def test_a_part_is_read(subject: Subject, start: int, end: int | None) -> None:
    await kept(subject.blobs)

    assert await all_of(subject.blobs.read(CONTENT_SHA256, start, end)) == CONTENT[start:end]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(start=st.integers(0, len(LARGE) + 1), length=st.integers(0, len(LARGE)))
def test_any_part_is_read(tmp_path_factory: pytest.TempPathFactory, start: int, length: int) -> None:
    async def read() -> bytes:
        blobs = on_disk(tmp_path_factory.getbasetemp() / "parts").blobs
        if not blobs.path_of(sha256(LARGE).hexdigest()).exists():  # type: ignore[union-attr]
            await kept(blobs, LARGE)
        return await all_of(blobs.read(sha256(LARGE).hexdigest(), start, start + length))

    assert asyncio.run(read()) == LARGE[start : start + length]


async def test_who_stops_reading_early_leaves_the_blob_usable(subject: Subject) -> None:
    staged = await kept(subject.blobs, LARGE)

    async with subject.blobs.read(staged.sha256) as pieces:
        assert LARGE.startswith(await anext(pieces))

    assert await all_of(subject.blobs.read(staged.sha256)) == LARGE


async def test_many_read_one_blob_at_once(subject: Subject) -> None:
    staged = await kept(subject.blobs, LARGE)

    assert set(await asyncio.gather(*(all_of(subject.blobs.read(staged.sha256)) for _ in range(20)))) == {LARGE}


@pytest.mark.parametrize("sha256", NO_HASHES)
async def test_what_was_never_kept_is_missing(subject: Subject, sha256: str) -> None:
    with pytest.raises(BlobMissing):
        await all_of(subject.blobs.read(sha256))


async def test_what_is_only_staged_has_no_hash_as_its_name_yet(subject: Subject) -> None:
    await subject.blobs.stage(in_chunks(CONTENT))

    with pytest.raises(BlobMissing):
        await all_of(subject.blobs.read(CONTENT_SHA256))


async def test_what_was_kept_is_no_longer_staged(subject: Subject) -> None:
    staged = await kept(subject.blobs)

    with pytest.raises(BlobMissing):
        await all_of(subject.blobs.read_staged(staged))
    with pytest.raises(BlobMissing):
        await subject.blobs.keep(staged)
    assert len(subject.stored()) == 1
    assert await all_of(subject.blobs.read(CONTENT_SHA256)) == CONTENT


async def test_equal_content_is_stored_once(subject: Subject) -> None:
    await asyncio.gather(*(kept(subject.blobs) for _ in range(5)))

    assert len(subject.stored()) == 1
    assert await all_of(subject.blobs.read(CONTENT_SHA256)) == CONTENT


async def test_different_content_at_once_is_kept_apart(subject: Subject) -> None:
    contents = [bytes([number]) * 100_000 for number in range(20)]
    blobs = await asyncio.gather(*(kept(subject.blobs, content) for content in contents))

    assert [await all_of(subject.blobs.read(staged.sha256)) for staged in blobs] == contents


async def test_what_is_discarded_is_gone_and_may_be_discarded_again(subject: Subject) -> None:
    staged = await subject.blobs.stage(in_chunks(CONTENT))
    for _ in range(2):
        await subject.blobs.discard(staged)

    assert subject.stored() == set()
    with pytest.raises(BlobMissing):
        await all_of(subject.blobs.read_staged(staged))
    with pytest.raises(BlobMissing):
        await subject.blobs.keep(staged)


@pytest.mark.parametrize("key", ["", "../secret", "/etc/passwd", "0" * 32])
async def test_a_key_that_was_never_given_is_missing(subject: Subject, key: str) -> None:
    with pytest.raises(BlobMissing):
        await all_of(subject.blobs.read_staged(Staged(key, CONTENT_SHA256, len(CONTENT))))


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(subject: Subject) -> None:
    await kept(subject.blobs)
    for _ in range(2):
        await subject.blobs.delete(CONTENT_SHA256)

    assert subject.stored() == set()
    with pytest.raises(BlobMissing):
        await all_of(subject.blobs.read(CONTENT_SHA256))


async def test_what_was_deleted_can_be_kept_again(subject: Subject) -> None:
    await kept(subject.blobs)
    await subject.blobs.delete(CONTENT_SHA256)
    await kept(subject.blobs)

    assert await all_of(subject.blobs.read(CONTENT_SHA256)) == CONTENT


@pytest.mark.parametrize("sent", [b"", CONTENT, LARGE], ids=len)
async def test_when_the_stream_fails_nothing_is_left(subject: Subject, sent: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(sent):
            yield chunk
        raise ConnectionResetError("the client went away")

    with pytest.raises(ConnectionResetError):
        await subject.blobs.stage(chunks())

    assert subject.stored() == set()


@pytest.mark.parametrize("sent", [b"", CONTENT, LARGE], ids=len)
async def test_when_who_stages_is_cancelled_nothing_is_left(subject: Subject, sent: bytes) -> None:
    waits = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(sent):
            yield chunk
        waits.set()
        await asyncio.Event().wait()

    staging = asyncio.create_task(subject.blobs.stage(chunks()))
    await waits.wait()
    staging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staging

    assert subject.stored() == set()


async def test_a_sweep_takes_only_what_was_staged_before(subject: Subject) -> None:
    staged = [await subject.blobs.stage(in_chunks(CONTENT)) for _ in range(3)]
    await subject.blobs.keep(staged[0])
    await subject.blobs.discard(staged[1])

    assert await subject.blobs.sweep(datetime.now(UTC) - HOUR) == 0
    assert await all_of(subject.blobs.read_staged(staged[2])) == CONTENT
    assert await subject.blobs.sweep(datetime.now(UTC) + HOUR) == 1
    with pytest.raises(BlobMissing):
        await all_of(subject.blobs.read_staged(staged[2]))
    assert await all_of(subject.blobs.read(CONTENT_SHA256)) == CONTENT


async def test_sweeping_an_empty_store_finds_nothing(subject: Subject) -> None:
    assert await subject.blobs.sweep(datetime.now(UTC) + HOUR) == 0


async def test_asking_a_store_that_works_leaves_nothing_behind(subject: Subject) -> None:
    await subject.blobs.ping()

    assert subject.stored() == set()


async def test_a_path_leads_to_the_bytes_if_there_is_one(subject: Subject) -> None:
    await kept(subject.blobs)
    path = subject.blobs.path_of(CONTENT_SHA256)

    assert path is None or path.read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", NO_HASHES[1:])
async def test_what_is_no_hash_has_no_path(subject: Subject, sha256: str) -> None:
    with pytest.raises(BlobMissing):
        subject.blobs.path_of(sha256)
