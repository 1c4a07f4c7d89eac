"""Resumable uploads on SQLite, on PostgreSQL and in memory."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from domain.files import FileId
from domain.resumable import LIFETIME, OffsetMismatch, ResumableUpload, UploadNotFound, UploadPart
from domain.sessions import InvalidAccessToken
from domain.users import User
from tests.contracts.stores import Store


def an_upload(store: Store, owner: User, upload_id: str = "1" * 32, **changes: Any) -> ResumableUpload:
    values: dict[str, Any] = {
        "owner_id": owner.id,
        "length": 5 * 2**40,
        "filename": "\u05e9\u05dc\u05d5\u05dd \U0001f4c4.txt",
        "content_type": "text/plain",
        "metadata": "filename YS50eHQ=",
        "created_at": store.clock.now(),
    }
    return ResumableUpload(id=upload_id, **(values | changes))


async def has_upload(store: Store, owner: User, upload_id: str = "1" * 32, **changes: Any) -> ResumableUpload:
    upload = an_upload(store, owner, upload_id, **changes)
    async with store.begin() as work:
        await work.resumable_uploads.add(upload)
    return upload


def a_part(offset: int, size: int = 2**40) -> UploadPart:
    return UploadPart(offset, f"{offset:032x}", f"{offset:064x}", size)


async def take(store: Store, upload: ResumableUpload, *parts: UploadPart) -> None:
    async with store.begin() as work:
        taken, had = await work.resumable_uploads.get(upload.id)
        taken.take(parts, had)
        await work.resumable_uploads.add_parts(upload.id, parts)
        await work.resumable_uploads.save(taken)


async def test_an_upload_is_read_as_it_was_added(store: Store) -> None:
    upload = await has_upload(store, await store.has())
    assert await store.reads.resumable_upload(upload.id) == upload
    async with store.begin() as work:
        assert await work.resumable_uploads.get(upload.id) == (upload, 0)


async def test_there_is_no_upload_that_was_not_added(store: Store) -> None:
    await has_upload(store, await store.has())
    with pytest.raises(UploadNotFound):
        await store.reads.resumable_upload("2" * 32)
    async with store.begin() as work:
        with pytest.raises(UploadNotFound):
            await work.resumable_uploads.get("2" * 32)
        assert not await work.resumable_uploads.delete("2" * 32)
    assert list(await store.reads.parts_of("2" * 32)) == []


async def test_nobody_adds_to_a_user_that_is_gone(store: Store) -> None:
    ada = await store.has()
    async with store.begin() as work:
        await work.users.delete(ada.id)
    with pytest.raises(InvalidAccessToken):
        await has_upload(store, ada)


async def test_parts_come_back_in_their_order(store: Store) -> None:
    upload = await has_upload(store, await store.has())
    parts = [a_part(number * 2**40) for number in range(4)]
    await take(store, upload, *parts[:2])
    await take(store, upload, *parts[2:])
    assert list(await store.reads.parts_of(upload.id)) == parts
    assert (await store.reads.resumable_upload(upload.id)).offset == 4 * 2**40
    async with store.begin() as work:
        assert (await work.resumable_uploads.get(upload.id))[1] == 4


async def test_of_two_who_go_on_at_one_offset_the_later_is_refused(store: Store) -> None:
    upload = await has_upload(store, await store.has())
    outcomes = await asyncio.gather(*(take(store, upload, a_part(0)) for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [OffsetMismatch] * 4
    assert list(await store.reads.parts_of(upload.id)) == [a_part(0)]


async def test_what_is_on_its_way_is_counted_until_it_is_finished(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    for number, owner in enumerate((ada, ada, bob)):
        await take(store, await has_upload(store, owner, f"{number:032}"), a_part(0))
    async with store.begin() as work:
        assert await work.files.used_by(ada.id) == 2 * 2**40
        assert await work.files.used_by(ada.id, but=f"{0:032}") == 2**40
        finished, _ = await work.resumable_uploads.get(f"{0:032}")
        finished.finish(FileId(7))
        await work.resumable_uploads.save(finished)
        await work.resumable_uploads.remove_parts(finished.id)
        assert await work.files.used_by(ada.id) == 2**40
        assert await work.files.used_by(ada.id, but=f"{1:032}") == 0
    assert [await store.reads.bytes_used_by(owner_id) for owner_id in (ada.id, bob.id, 99)] == [2**40, 2**40, 0]
    assert (await store.reads.resumable_upload(finished.id)).file_id == 7
    assert list(await store.reads.parts_of(finished.id)) == []


async def test_what_is_deleted_gives_its_parts_back(store: Store) -> None:
    ada = await store.has()
    gone, stays = await has_upload(store, ada), await has_upload(store, ada, "2" * 32)
    for upload in (gone, stays):
        await take(store, upload, a_part(0, 3), a_part(3, 4))
    async with store.begin() as work:
        parts = await work.resumable_uploads.delete(gone.id)
    assert sorted(part.offset for part in parts) == [0, 3]
    with pytest.raises(UploadNotFound):
        await store.reads.resumable_upload(gone.id)
    assert list(await store.reads.parts_of(gone.id)) == []
    assert len(await store.reads.parts_of(stays.id)) == 2


async def test_an_upload_that_is_gone_is_not_brought_back_by_saving_it(store: Store) -> None:
    upload = await has_upload(store, await store.has())
    async with store.begin() as work:
        await work.resumable_uploads.delete(upload.id)
        await work.resumable_uploads.save(upload)
        await work.resumable_uploads.remove_parts(upload.id)
    with pytest.raises(UploadNotFound):
        await store.reads.resumable_upload(upload.id)
    assert list(await store.reads.parts_of(upload.id)) == []


async def test_the_uploads_of_a_user_are_deleted_in_batches(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    for number, owner in enumerate((ada, ada, ada, bob)):
        await take(store, await has_upload(store, owner, f"{number:032}"), a_part(0))
    async with store.begin() as work:
        removed = [await work.resumable_uploads.delete_owned_by(ada.id, limit=2) for _ in range(3)]
    assert [(number, len(parts)) for number, parts in removed] == [(2, 2), (1, 1), (0, 0)]
    assert (await store.reads.resumable_upload(f"{3:032}")).owner_id == bob.id


async def test_a_sweep_takes_those_that_are_old_enough(store: Store) -> None:
    ada = await store.has()
    for number in range(3):
        await take(store, await has_upload(store, ada, f"{number:032}"), a_part(0))
    store.clock.advance(timedelta(seconds=1))
    young = await has_upload(store, ada, "9" * 32)
    before = store.clock.now() + LIFETIME - timedelta(seconds=1) - LIFETIME
    async with store.begin() as work:
        removed = [await work.resumable_uploads.sweep(before, limit=2) for _ in range(2)]
    assert [(number, len(parts)) for number, parts in removed] == [(2, 2), (1, 1)]
    assert await store.reads.resumable_upload(young.id) == young
