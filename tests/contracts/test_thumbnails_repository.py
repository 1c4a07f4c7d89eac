"""Thumbnails and the bytes they refer to, on SQLite, on PostgreSQL and in memory."""

import asyncio
from datetime import timedelta

import pytest

from application.ports.persistence import Work
from domain.files import FileNotFound
from domain.images import Thumbnail, ThumbnailSize
from tests.contracts.stores import Store
from tests.contracts.test_files_repository import LEASE, a_claim, dooms, forgets, has_file, hash_of, unused

SMALL, MEDIUM = ThumbnailSize.SMALL, ThumbnailSize.MEDIUM


async def add_thumbnail(store: Store, work: Work, source: str, size: ThumbnailSize, content: str) -> None:
    claim = a_claim(store, content, f"claim of {content}"[:32])
    await work.blobs.claim([claim])
    await work.thumbnails.add(Thumbnail(hash_of(source), size, hash_of(content), len(content)))
    await work.blobs.release([claim])


async def has_thumbnail(
    store: Store, source: str = "tea", size: ThumbnailSize = SMALL, content: str = "small tea"
) -> None:
    async with store.begin() as work:
        await add_thumbnail(store, work, source, size, content)


async def removes_of(store: Store, source: str) -> list[str]:
    async with store.begin() as work:
        return sorted(await work.thumbnails.remove_of(hash_of(source)))


async def found(store: Store, source: str = "tea", size: ThumbnailSize = SMALL) -> str | None:
    """The hash of that thumbnail."""
    thumbnail = await store.reads.thumbnail(hash_of(source), size)
    return thumbnail.sha256 if thumbnail else None


async def test_a_thumbnail_is_found_by_its_source_and_size(store: Store) -> None:
    await has_file(store, await store.has())
    assert await found(store) is None
    await has_thumbnail(store)
    await has_thumbnail(store, size=MEDIUM, content="medium tea")
    for size, content in ((SMALL, "small tea"), (MEDIUM, "medium tea")):
        thumbnail = await store.reads.thumbnail(hash_of("tea"), size)
        assert thumbnail == Thumbnail(hash_of("tea"), size, hash_of(content), len(content))
    assert await found(store, "coffee") is None


async def test_one_that_is_made_again_takes_the_place_of_the_first(store: Store) -> None:
    await has_file(store, await store.has())
    await has_thumbnail(store)
    await has_thumbnail(store, content="finer tea")
    assert await found(store) == hash_of("finer tea")
    assert await unused(store) == [hash_of("small tea")]


async def test_of_two_that_are_made_at_once_one_is_kept(store: Store) -> None:
    await has_file(store, await store.has())
    await asyncio.gather(*(has_thumbnail(store, content=f"tea {n}") for n in range(5)))
    assert await found(store) in {hash_of(f"tea {n}") for n in range(5)}
    assert len(await unused(store)) == 4


async def test_none_is_added_whose_source_is_gone(store: Store) -> None:
    with pytest.raises(FileNotFound):
        await has_thumbnail(store)
    assert await found(store) is None


async def test_bytes_that_are_a_thumbnail_are_not_forgotten(store: Store) -> None:
    await has_file(store, await store.has())
    await has_thumbnail(store)
    assert await unused(store) == []
    assert not await forgets(store, "small tea")


async def test_thumbnails_stay_as_long_as_a_file_has_their_source(store: Store) -> None:
    await has_file(store, await store.has())
    await has_thumbnail(store)
    assert await removes_of(store, "tea") == []
    assert await found(store) == hash_of("small tea")


async def test_thumbnails_go_with_their_source(store: Store) -> None:
    file = await has_file(store, await store.has())
    await has_thumbnail(store)
    await has_thumbnail(store, size=MEDIUM, content="medium tea")
    async with store.begin() as work:
        await work.files.delete(file.id)
    assert await removes_of(store, "tea") == sorted([hash_of("small tea"), hash_of("medium tea")])
    assert await found(store) is None
    for content in ("tea", "small tea", "medium tea"):
        assert await forgets(store, content)


async def test_a_thumbnail_that_somebody_uploaded_stays(store: Store) -> None:
    ada = await store.has()
    file = await has_file(store, ada)
    await has_file(store, ada, "small tea")
    await has_thumbnail(store)
    async with store.begin() as work:
        await work.files.delete(file.id)
    assert await removes_of(store, "tea") == [hash_of("small tea")]
    assert not await forgets(store, "small tea")


async def test_an_image_that_is_its_own_thumbnail_can_go(store: Store) -> None:
    file = await has_file(store, await store.has())
    await has_thumbnail(store, content="tea")
    async with store.begin() as work:
        await work.files.delete(file.id)
    assert await removes_of(store, "tea") == [hash_of("tea")]
    assert await forgets(store, "tea")


async def test_a_thumbnail_that_is_made_while_its_source_goes_comes_too_late_or_goes_too(store: Store) -> None:
    file = await has_file(store, await store.has())
    async with store.begin() as work:
        await work.files.delete(file.id)

    async def collect() -> None:
        async with store.begin() as work:
            await work.thumbnails.remove_of(hash_of("tea"))
            await asyncio.sleep(0)
            doom = await work.blobs.doom(hash_of("tea"), claimed_before=store.clock.now(), lease=LEASE)
        assert doom is not None
        await asyncio.sleep(0)
        async with store.begin() as work:
            assert await work.blobs.forget(doom)

    outcomes = await asyncio.gather(has_thumbnail(store), collect(), return_exceptions=True)
    assert outcomes[1] is None
    assert outcomes[0] is None or isinstance(outcomes[0], FileNotFound)
    assert await found(store) is None


async def test_no_thumbnail_is_added_to_bytes_that_were_doomed(store: Store) -> None:
    file = await has_file(store, await store.has())
    async with store.begin() as work:
        await work.files.delete(file.id)
    assert await dooms(store, "tea") is not None
    for passed in (timedelta(), 2 * LEASE):
        await store.let_pass(passed)
        with pytest.raises(FileNotFound):
            await has_thumbnail(store)
