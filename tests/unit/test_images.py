"""Uploading images: what isn't one is refused, and nothing of it is left."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from application.images import AT_ONCE, LookAtImage
from application.uploads import Upload
from domain.errors import Unavailable
from domain.files import File, FileTooLarge, InvalidFilename, QuotaExceeded
from domain.images import FileTypeNotAllowed, ImageFormat, ImageInfo, InvalidImage
from domain.users import Actor
from tests.builders import MAX_IMAGE_BYTES, QUOTA_BYTES, World
from tests.fakes.images import pretended
from tests.unit.test_uploads import an_actor, chunks, nothing_is_left, store


async def upload(world: World, actor: Actor, content: bytes, filename: str = "a.png") -> File:
    return await world.store_image(actor, one(filename, chunks(content)))


async def one(filename: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[Upload]:
    yield Upload(filename, "text/html", chunks)


async def test_an_image_is_stored_with_what_is_known_of_it(world: World) -> None:
    content = pretended("png", 640, 480)
    file = await upload(world, await an_actor(world), content, "holidays/A.PNG")
    assert (file.filename, file.content_type) == ("holidaysA.PNG", "image/png")
    assert file.image == ImageInfo(640, 480, ImageFormat.PNG)
    assert world.blob_store.blobs == {file.sha256: content}
    assert await world.store.file(file.id) == file


@pytest.mark.parametrize("content", [b"", b"<svg/>", pretended("gif"), pretended("png") + b"<script>"])
async def test_what_is_no_such_image_is_refused_and_nothing_is_left(world: World, content: bytes) -> None:
    ada = await an_actor(world)
    with pytest.raises(InvalidImage):
        await upload(world, ada, content)
    assert await nothing_is_left(world, ada)


@pytest.mark.parametrize(("filename", "refusal"), [("a.exe", FileTypeNotAllowed), ("/", InvalidFilename)])
async def test_a_name_that_is_not_taken_is_refused_before_anything_is_read(
    world: World, filename: str, refusal: type[Exception]
) -> None:
    async def unread() -> AsyncIterator[bytes]:
        pytest.fail("it was read")
        yield b""

    with pytest.raises(refusal):
        await world.store_image(await an_actor(world), one(filename, unread()))


async def test_an_image_that_is_too_large_is_refused_without_a_look(world: World) -> None:
    ada = await an_actor(world)
    with pytest.raises(FileTooLarge, match=f"File size exceeds {MAX_IMAGE_BYTES} bytes"):
        await upload(world, ada, bytes(MAX_IMAGE_BYTES + 1))
    assert not world.images.examined
    assert await nothing_is_left(world, ada)


async def test_an_image_that_there_is_no_room_for_is_refused_without_a_look(world: World) -> None:
    ada = await an_actor(world)
    await store(world, ada, bytes(1000), bytes(1000), bytes(QUOTA_BYTES - 2000))
    with pytest.raises(QuotaExceeded):
        await upload(world, ada, pretended())
    assert not world.images.examined


async def test_a_look_sees_all_there_is(world: World) -> None:
    content = b"".join(b"%d" % number for number in range(50_000))
    staged = await world.blob_store.stage(chunks(content))

    async def see(seen: bytes) -> bytes:
        return seen

    assert await LookAtImage()(world.blob_store.read_staged(staged), see) == content


class Waiting:
    """Stored bytes, and a look at them that lasts."""

    def __init__(self) -> None:
        self.in_memory = 0
        self.most = 0

    async def look(self, content: bytes) -> int:
        self.in_memory += 1
        self.most = max(self.most, self.in_memory)
        await asyncio.sleep(1)
        self.in_memory -= 1
        return len(content)


async def test_few_images_are_in_memory_at_once(world: World) -> None:
    files = [await upload(world, await an_actor(world), pretended())]
    waiting, look_at = Waiting(), LookAtImage()
    looks = (look_at(world.blob_store.read(files[0].sha256), waiting.look) for _ in range(20))
    assert set(await asyncio.gather(*looks)) == {len(pretended())}
    assert waiting.most == AT_ONCE


async def test_nobody_waits_for_a_look_without_end(world: World) -> None:
    file = await upload(world, await an_actor(world), pretended())
    with pytest.raises(Unavailable):
        await LookAtImage()(world.blob_store.read(file.sha256), lambda _: asyncio.Event().wait())
