"""Thumbnails: made once, shared by whoever has the same image, and gone with it."""

import asyncio
import gc
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from application.files import Content
from application.ports.storage import BlobMissing
from domain.errors import Unavailable
from domain.files import File, FileNotFound
from domain.images import InvalidImage, ThumbnailSize
from domain.users import Actor
from tests.builders import MAX_IMAGE_BYTES, World
from tests.fakes.images import pretended
from tests.unit.test_images import upload
from tests.unit.test_uploads import an_actor, store

SMALL, MEDIUM, LARGE = ThumbnailSize


class Owned(NamedTuple):
    actor: Actor
    file: File


async def has_image(world: World, email: str = "ada@example.org", content: bytes = pretended("png", 640, 480)) -> Owned:
    actor = await an_actor(world, email)
    return Owned(actor, await upload(world, actor, content, "a cat.png"))


async def opened(world: World, image: Owned, fits: ThumbnailSize = SMALL) -> Content:
    return await world.open_thumbnail(image.actor, image.file.id, fits)


async def read(content: Content) -> bytes:
    async with content.read(0, content.size) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize(("fits", "expected"), [(SMALL, (64, 48)), (MEDIUM, (256, 192)), (LARGE, (640, 480))])
async def test_a_thumbnail_fits_the_square(world: World, fits: ThumbnailSize, expected: tuple[int, int]) -> None:
    thumbnail = await opened(world, await has_image(world), fits)
    assert (thumbnail.filename, thumbnail.content_type) == ("a cat.webp", "image/webp")
    assert await read(thumbnail) == pretended("webp", *expected)
    assert thumbnail.size == len(pretended("webp", *expected))
    assert not world.blob_store.staged
    assert not world.store.claims


async def test_it_is_made_once(world: World) -> None:
    image = await has_image(world)
    first = await opened(world, image)
    assert (await opened(world, image)).sha256 == first.sha256
    assert world.images.made == 1


async def test_what_another_process_made_a_moment_ago_is_not_made_again(world: World) -> None:
    image = await has_image(world)
    first = await opened(world, image)
    assert (await world.open_thumbnail.make(image.file, SMALL)).sha256 == first.sha256
    assert world.images.made == 1


async def test_what_is_made_is_shown_though_such_images_are_too_large_by_now(world: World) -> None:
    image = await has_image(world)
    first = await opened(world, image)
    stricter = replace(world.open_thumbnail, make=replace(world.open_thumbnail.make, max_bytes=image.file.size - 1))
    assert await stricter(image.actor, image.file.id, SMALL) == first
    with pytest.raises(InvalidImage) as refused:
        await stricter(image.actor, image.file.id, LARGE)
    assert str(refused.value) == f"Only an image of up to {image.file.size - 1} bytes has thumbnails"


async def test_the_largest_image_has_one(world: World) -> None:
    image = await has_image(world)
    make = replace(world.open_thumbnail.make, max_bytes=image.file.size)
    assert (await make(image.file, SMALL)).size == len(pretended("webp", 64, 48))


async def test_it_is_made_once_though_20_ask_at_the_same_time(world: World) -> None:
    image = await has_image(world)
    thumbnails = await asyncio.gather(*(opened(world, image) for _ in range(20)))
    assert len({thumbnail.sha256 for thumbnail in thumbnails}) == 1
    assert world.images.made == 1


async def test_each_size_is_made_of_its_own(world: World) -> None:
    image = await has_image(world)
    thumbnails = await asyncio.gather(*(opened(world, image, fits) for fits in ThumbnailSize for _ in range(5)))
    assert len({thumbnail.sha256 for thumbnail in thumbnails}) == world.images.made == 3


async def test_one_who_gives_up_leaves_it_to_the_others(world: World) -> None:
    image = await has_image(world)
    first, second = (asyncio.create_task(opened(world, image)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    assert await read(await second) == pretended("webp", 64, 48)
    assert world.images.made == 1


async def test_whoever_has_the_same_image_shares_its_thumbnail(world: World) -> None:
    ada, bob = await has_image(world), await has_image(world, "bob@example.org")
    assert (await opened(world, ada)).sha256 == (await opened(world, bob)).sha256
    assert world.images.made == 1


async def test_nobody_else_sees_it(world: World) -> None:
    image = await has_image(world)
    await opened(world, image)
    with pytest.raises(FileNotFound):
        await world.open_thumbnail(await an_actor(world, "bob@example.org"), image.file.id, SMALL)


async def test_an_image_that_was_uploaded_as_any_file_has_one_too(world: World) -> None:
    ada = await an_actor(world)
    (file,) = await store(world, ada, pretended("gif", 640, 480))
    assert file.image is None
    assert await read(await opened(world, Owned(ada, file))) == pretended("webp", 64, 48)


async def test_what_is_no_image_has_none_and_nothing_is_left_of_trying(world: World) -> None:
    ada = await an_actor(world)
    for content in (b"tea", bytes(MAX_IMAGE_BYTES + 1)):
        (file,) = await store(world, ada, content)
        with pytest.raises(InvalidImage):
            await opened(world, Owned(ada, file))
        with pytest.raises(InvalidImage):
            await opened(world, Owned(ada, file))
    assert len(world.blob_store.blobs) == 2
    assert not world.blob_store.staged
    assert not world.store.claims


async def test_a_failure_is_told_to_all_who_wait_and_the_next_one_tries_again(world: World) -> None:
    image = await has_image(world)
    world.blob_store.available = False
    failures = await asyncio.gather(*(opened(world, image) for _ in range(3)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [Unavailable] * 3
    world.blob_store.available = True
    assert await read(await opened(world, image)) == pretended("webp", 64, 48)


async def test_a_failure_that_nobody_waits_for_any_more_is_no_error_of_ours(world: World) -> None:
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    image = await has_image(world)
    world.blob_store.available = False
    asking = asyncio.create_task(opened(world, image))
    for _ in range(3):
        await asyncio.sleep(0)
    assert world.open_thumbnail.make.under_way
    asking.cancel()
    await asyncio.sleep(1)  # by then it is over
    assert not world.open_thumbnail.make.under_way
    gc.collect()
    assert errors == []


async def test_bytes_that_are_lost_are_told_as_such(world: World) -> None:
    image = await has_image(world)
    world.blob_store.blobs.clear()
    with pytest.raises(BlobMissing):
        await opened(world, image)


async def test_thumbnails_go_with_the_last_file_that_has_the_image(world: World) -> None:
    ada, bob = await has_image(world), await has_image(world, "bob@example.org")
    for fits in ThumbnailSize:
        await opened(world, ada, fits)
    await world.delete_file(ada.actor, ada.file.id)
    await world.do_jobs()
    assert len(world.blob_store.blobs) == 4
    await opened(world, bob)
    assert world.images.made == 3
    await world.delete_file(bob.actor, bob.file.id)
    await world.do_jobs()
    assert not world.blob_store.blobs
    assert not world.store.blobs


async def test_a_thumbnail_that_is_made_while_its_file_is_deleted_is_not_left_behind(world: World) -> None:
    for turns in range(30):  # at whichever step of making it
        image = await has_image(world, f"{turns}@example.org", pretended("png", 640, 480 + turns))
        making = asyncio.create_task(opened(world, image))
        for _ in range(turns):
            await asyncio.sleep(0)
        await world.delete_file(image.actor, image.file.id)
        await world.do_jobs()
        await asyncio.gather(making, return_exceptions=True)
        await world.do_jobs()
        assert not world.blob_store.blobs
        assert not world.store.blobs


async def test_a_thumbnail_is_an_image_like_any_other(world: World) -> None:
    ada = await has_image(world)
    thumbnail = await read(await opened(world, ada))
    again = Owned(ada.actor, await upload(world, ada.actor, thumbnail, "small.webp"))
    assert await read(await opened(world, again)) == thumbnail  # it is its own thumbnail
    for image in (ada, again):
        await world.delete_file(ada.actor, image.file.id)
        await world.do_jobs()
    assert not world.blob_store.blobs
    assert not world.store.blobs
