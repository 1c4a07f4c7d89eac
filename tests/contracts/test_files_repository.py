"""Files and the bytes they refer to, on SQLite, on PostgreSQL and in memory."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from application.ports.persistence import Work
from application.ports.persistence.blobs import BeingDeleted
from domain.files import Claim, Doom, File, FileNotFound
from domain.images import ImageFormat, ImageInfo
from domain.pages import PageRequest
from domain.sessions import InvalidAccessToken
from domain.users import User
from tests.contracts.stores import Store

EVERYTHING = PageRequest(limit=100)
GRACE = timedelta(hours=1)
LEASE = timedelta(minutes=10)


def hash_of(content: str) -> str:
    return sha256(content.encode()).hexdigest()


def a_claim(store: Store, content: str, claim_id: str = "claim") -> Claim:
    return Claim(id=claim_id, sha256=hash_of(content), size=len(content), claimed_at=store.clock.now())


def a_file(store: Store, owner: User, content: str = "tea", **changes: Any) -> File:
    values: dict[str, Any] = {
        "filename": f"{content}.txt",
        "content_type": "text/plain",
        "size": len(content),
        "sha256": hash_of(content),
        "owner_id": owner.id,
        "created_at": store.clock.now(),
    }
    return File(**(values | changes))


async def has_file(store: Store, owner: User, content: str = "tea", **changes: Any) -> File:
    async with store.begin() as work:
        return await add_claimed(store, work, a_file(store, owner, content, **changes), content)


async def add_claimed(store: Store, work: Work, file: File, content: str) -> File:
    claim = a_claim(store, content)
    await work.blobs.claim([claim])
    file = await work.files.add(file)
    await work.blobs.release([claim])
    return file


async def dooms(store: Store, content: str, *, at: timedelta = timedelta()) -> Doom | None:
    async with store.begin() as work:
        return await work.blobs.doom(hash_of(content), claimed_before=store.clock.now() + at - GRACE, lease=LEASE)


async def forgets(store: Store, content: str, *, at: timedelta = timedelta()) -> bool:
    """Doom and forget in one, as if somebody had deleted the bytes meanwhile; whether they could be doomed."""
    doom = await dooms(store, content, at=at)
    if doom is None:
        return False
    async with store.begin() as work:
        return await work.blobs.forget(doom)


async def claims(store: Store, content: str, claim_id: str = "claim") -> Claim:
    claim = a_claim(store, content, claim_id)
    async with store.begin() as work:
        await work.blobs.claim([claim])
    return claim


async def unused(store: Store, *, after: str = "", limit: int = 100, at: timedelta = timedelta()) -> list[str]:
    before = store.clock.now() + at - GRACE
    return list(await store.reads.unused_blobs(claimed_before=before, after=after, limit=limit))


@pytest.mark.parametrize("changes", [{}, {"image": ImageInfo(640, 480, ImageFormat.PNG)}, {"is_export": True}])
async def test_a_file_is_read_as_it_was_added(store: Store, changes: dict[str, Any]) -> None:
    ada = await store.has()
    added = await has_file(store, ada, filename="\u05e9\u05dc\u05d5\u05dd \U0001f4c4.txt", size=5 * 2**40, **changes)
    assert added.id > 0
    assert await store.reads.file(added.id) == added
    assert await store.reads.newest_file(ada.id, added.filename) == added
    assert (await store.reads.files(ada.id, EVERYTHING)).items == [added]
    async with store.begin() as work:
        assert await work.files.get(added.id) == added


async def test_there_is_no_file_that_was_not_added(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    file = await has_file(store, ada)
    with pytest.raises(FileNotFound):
        await store.reads.file(file.id + 1)
    for owner, name in ((bob, file.filename), (ada, file.filename.upper())):
        with pytest.raises(FileNotFound):
            await store.reads.newest_file(owner.id, name)
    async with store.begin() as work:
        with pytest.raises(FileNotFound):
            await work.files.get(file.id + 1)


async def test_a_deleted_file_is_gone_and_its_id_is_not_given_again(store: Store) -> None:
    ada = await store.has()
    file = await has_file(store, ada)
    async with store.begin() as work:
        await work.files.delete(file.id)
    with pytest.raises(FileNotFound):
        await store.reads.file(file.id)
    assert (await has_file(store, ada)).id > file.id


async def test_nobody_reads_a_file_whose_owner_is_gone(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    file, kept = await has_file(store, ada), await has_file(store, bob)
    async with store.begin() as work:
        await work.users.delete(ada.id)
    with pytest.raises(FileNotFound):
        await store.reads.file(file.id)
    assert await store.reads.file(kept.id) == kept


async def test_files_are_listed_newest_first_page_by_page(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    added = [await has_file(store, ada, f"{n}") for n in range(5)]
    await has_file(store, bob)
    expected = added[::-1]
    first = await store.reads.files(ada.id, PageRequest(limit=2))
    assert (first.items, first.total, first.next_key) == (expected[:2], 5, (expected[1].id,))
    assert (await store.reads.files(ada.id, PageRequest(limit=2, skip=1))).items == expected[1:3]
    second = await store.reads.files(ada.id, PageRequest(limit=2, after=first.next_key))
    assert (second.items, second.total) == (expected[2:4], None)
    last = await store.reads.files(ada.id, PageRequest(limit=2, after=second.next_key))
    assert (last.items, last.next_key) == (expected[4:], None)


async def test_the_newest_of_a_name_is_found(store: Store) -> None:
    ada = await store.has()
    await has_file(store, ada, "old", filename="a.txt")
    newest = await has_file(store, ada, "new", filename="a.txt")
    await has_file(store, ada, "other", filename="b.txt")
    assert await store.reads.newest_file(ada.id, "a.txt") == newest


async def test_the_bytes_of_a_user_are_counted_also_when_they_are_stored_once(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    assert await store.reads.bytes_used_by(ada.id) == 0
    for _ in range(2):
        await has_file(store, ada, size=2**40)
    await has_file(store, bob)
    assert await store.reads.bytes_used_by(ada.id) == 2**41
    async with store.begin() as work:
        assert await work.files.used_by(ada.id) == 2**41


async def test_nobody_adds_to_a_user_that_is_gone(store: Store) -> None:
    ada = await store.has()
    async with store.begin() as work:
        await work.users.delete(ada.id)
    with pytest.raises(InvalidAccessToken):
        await has_file(store, ada)
    async with store.begin() as work:
        with pytest.raises(InvalidAccessToken):
            await work.files.used_by(ada.id)


async def test_of_several_who_count_at_once_each_counts_those_before_it(store: Store) -> None:
    ada = await store.has()

    async def add_if_there_is_room(n: int) -> bool:
        async with store.begin() as work:
            if await work.files.used_by(ada.id) + 1 > 3:
                return False
            await add_claimed(store, work, a_file(store, ada, f"{n}", size=1), f"{n}")
            return True

    added = await asyncio.gather(*(add_if_there_is_room(n) for n in range(8)))
    assert sum(added) == 3 == await store.reads.bytes_used_by(ada.id)


async def test_the_files_of_a_user_are_removed_so_many_at_a_time(store: Store) -> None:
    ada, bob = await store.has(), await store.has("bob@example.org")
    files = [await has_file(store, ada, f"{n}") for n in range(3)]
    kept = await has_file(store, bob)
    removed: list[File] = []
    for expected in (2, 1, 0):
        async with store.begin() as work:
            batch = await work.files.delete_owned_by(ada.id, limit=2)
        assert len(batch) == expected
        removed += batch
    assert sorted(removed, key=lambda file: file.id) == files
    assert await store.reads.file(kept.id) == kept


async def test_bytes_that_a_file_refers_to_are_not_forgotten(store: Store) -> None:
    ada = await store.has()
    first, second = await has_file(store, ada), await has_file(store, ada)
    for file in (first, second):
        assert not await forgets(store, "tea", at=timedelta(days=9))
        assert await unused(store, at=timedelta(days=9)) == []
        async with store.begin() as work:
            await work.files.delete(file.id)
    assert await unused(store) == [hash_of("tea")]
    assert await forgets(store, "tea")
    assert await unused(store) == []
    assert not await forgets(store, "tea"), "they are forgotten once"


async def test_claimed_bytes_are_not_forgotten_until_the_claim_is_released_or_old(store: Store) -> None:
    claim = a_claim(store, "tea")
    async with store.begin() as work:
        await work.blobs.claim([claim, a_claim(store, "milk", "another")])
    assert not await forgets(store, "tea", at=GRACE)
    assert await unused(store, at=GRACE) == []
    async with store.begin() as work:
        assert await work.blobs.release([claim]) == 1
        assert await work.blobs.release([claim]) == 0
    assert await unused(store) == [hash_of("tea")]
    assert await forgets(store, "tea")
    old = GRACE + timedelta(microseconds=1)
    assert await unused(store, at=old) == [hash_of("milk")]
    assert await forgets(store, "milk", at=old)
    async with store.begin() as work:
        assert await work.blobs.release([a_claim(store, "milk", "another")]) == 0


async def test_bytes_may_be_claimed_by_several_and_again(store: Store) -> None:
    async with store.begin() as work:
        await work.blobs.claim([a_claim(store, "tea", f"{n}") for n in range(3)])
    async with store.begin() as work:
        await work.blobs.claim([a_claim(store, "tea", "again")])
        assert await work.blobs.release([a_claim(store, "tea", f"{n}") for n in range(3)]) == 3
    assert not await forgets(store, "tea")


async def test_unused_bytes_are_listed_in_order_so_many_at_a_time(store: Store) -> None:
    hashes = sorted(hash_of(f"{n}") for n in range(4))
    async with store.begin() as work:
        claims = [a_claim(store, f"{n}", f"{n}") for n in range(4)]
        await work.blobs.claim(claims)
        await work.blobs.release(claims)
    assert await unused(store, limit=3) == hashes[:3]
    assert await unused(store, after=hashes[2], limit=3) == hashes[3:]


async def test_a_claim_that_is_undone_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.begin() as work:
            await work.blobs.claim([a_claim(store, "tea")])
            raise ZeroDivisionError
    assert not await forgets(store, "tea", at=timedelta(days=9))


async def test_doomed_bytes_can_be_claimed_again_once_they_are_forgotten(store: Store) -> None:
    await has_bytes(store, "tea")
    doom = await dooms(store, "tea")
    assert doom is not None
    with pytest.raises(BeingDeleted):
        await claims(store, "tea")
    assert await unused(store) == [hash_of("tea")]
    async with store.begin() as work:
        assert await work.blobs.forget(doom)
        assert not await work.blobs.forget(doom)
    assert await unused(store) == []
    claim = await claims(store, "tea")
    assert await dooms(store, "tea") is None
    async with store.begin() as work:
        assert await work.blobs.release([claim]) == 1


async def test_of_several_claims_none_is_made_while_one_of_them_is_of_doomed_bytes(store: Store) -> None:
    await has_bytes(store, "tea")
    await dooms(store, "tea")
    both = [a_claim(store, content, content) for content in ("milk", "tea")]
    with pytest.raises(BeingDeleted):
        async with store.begin() as work:
            await work.blobs.claim(both)
    async with store.begin() as work:
        assert await work.blobs.release(both) == 0


async def test_nobody_else_dooms_bytes_before_the_lease_is_over(store: Store) -> None:
    await has_bytes(store, "tea")
    first = await dooms(store, "tea")
    assert first is not None
    await store.let_pass(LEASE - timedelta(minutes=1))
    with pytest.raises(BeingDeleted):
        await dooms(store, "tea")
    with pytest.raises(BeingDeleted):
        await claims(store, "tea")
    await store.let_pass(timedelta(minutes=2))
    second = await dooms(store, "tea")
    assert second is not None
    assert second != first
    async with store.begin() as work:
        assert not await work.blobs.forget(first), "it is somebody else's turn"
        assert await work.blobs.forget(second)


async def test_whoever_claims_bytes_after_the_lease_keeps_them_from_whoever_doomed_them(store: Store) -> None:
    ada = await store.has()
    await has_bytes(store, "tea")
    doom = await dooms(store, "tea")
    assert doom is not None
    await store.let_pass(LEASE + timedelta(minutes=1))
    claim = await claims(store, "tea")
    async with store.begin() as work:
        assert not await work.blobs.forget(doom)
    assert await dooms(store, "tea") is None
    async with store.begin() as work:
        await work.files.add(a_file(store, ada))
        assert await work.blobs.release([claim]) == 1
    assert await unused(store) == []


async def test_a_claim_that_was_too_old_is_gone_once_its_bytes_are_doomed(store: Store) -> None:
    claim = await claims(store, "tea")
    assert await dooms(store, "tea", at=2 * GRACE) is not None
    async with store.begin() as work:
        assert await work.blobs.release([claim]) == 0


async def test_a_doom_that_is_undone_leaves_nothing(store: Store) -> None:
    await has_bytes(store, "tea")
    with pytest.raises(ZeroDivisionError):
        async with store.begin() as work:
            await work.blobs.doom(hash_of("tea"), claimed_before=store.clock.now(), lease=LEASE)
            raise ZeroDivisionError
    await claims(store, "tea")


async def has_bytes(store: Store, content: str) -> None:
    """Bytes that nothing refers to."""
    async with store.begin() as work:
        claim = a_claim(store, content)
        await work.blobs.claim([claim])
        await work.blobs.release([claim])


async def test_whoever_uploads_while_bytes_are_collected_has_them_afterwards(store: Store) -> None:
    """Many rounds of an upload and a collection of the same bytes: no file is ever left without them."""
    ada = await store.has()
    stored: set[str] = set()

    async def collect() -> None:
        with suppress(BeingDeleted):
            doom = await dooms(store, "tea")
            if doom is not None:
                await asyncio.sleep(0)  # whoever doesn't see that they are doomed gets in between here
                stored.discard("tea")
                async with store.begin() as work:
                    assert await work.blobs.forget(doom)

    async def claim_soon(claim: Claim) -> None:
        while True:
            with suppress(BeingDeleted):
                async with store.begin() as work:
                    return await work.blobs.claim([claim])

    async def upload(n: int) -> File:
        claim = a_claim(store, "tea", f"{n}")
        await claim_soon(claim)
        stored.add("tea")
        await asyncio.sleep(0)
        async with store.begin() as work:
            file = await work.files.add(a_file(store, ada))
            assert await work.blobs.release([claim]) == 1
        return file

    for n in range(25):
        _, file, _ = await asyncio.gather(collect(), upload(n), collect())
        assert "tea" in stored
        async with store.begin() as work:
            await work.files.delete(file.id)
    await collect()
    assert not stored
