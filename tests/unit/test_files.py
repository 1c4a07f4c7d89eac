from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from application.files import BATCH, Content, GetFile, ListFiles, OpenFile, OpenNewest
from application.links import CreateLink, OpenLink
from application.ports.persistence import Work
from application.uploads import Upload
from domain.events import FileDeleted
from domain.files import File, FileNotFound, InvalidFilename
from domain.links import InvalidLink, Link
from domain.pages import PageRequest
from domain.passwords import Password
from domain.users import Actor
from tests.builders import PASSWORD, World


async def an_actor(world: World, email: str = "ada@example.org", *, is_superuser: bool = False) -> Actor:
    return Actor(await world.has(email, is_superuser=is_superuser), "a session")


async def has_file(world: World, actor: Actor, content: bytes = b"tea", filename: str = "tea.txt") -> File:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    async def uploads() -> AsyncIterator[Upload]:
        yield Upload(filename, "text/plain", chunks())

    (file,) = await world.store_files(actor, uploads())
    return file


async def bytes_of(content: Content) -> bytes:
    async with content.read(0, content.size) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("is_superuser", [False, True])
async def test_others_files_do_not_exist(world: World, is_superuser: bool) -> None:
    file = await has_file(world, await an_actor(world))
    other = await an_actor(world, "bob@example.org", is_superuser=is_superuser)
    with pytest.raises(FileNotFound):
        await GetFile(world.store)(other, file.id)
    with pytest.raises(FileNotFound):
        await OpenFile(world.store, world.blob_store)(other, file.id)
    with pytest.raises(FileNotFound):
        await OpenNewest(world.store, world.blob_store)(other, file.filename)
    with pytest.raises(FileNotFound):
        await world.delete_file(other, file.id)
    with pytest.raises(FileNotFound):
        await create_link(world, other, file)
    assert (await ListFiles(world.store)(other, PageRequest())).items == []
    assert await world.store.file(file.id) == file


async def test_ones_own_content_is_opened_by_id_and_by_name(world: World) -> None:
    ada = await an_actor(world)
    old = await has_file(world, ada, b"old")
    await has_file(world, ada, b"new")
    opened = await OpenFile(world.store, world.blob_store)(ada, old.id)
    assert await bytes_of(opened) == b"old"
    assert (opened.filename, opened.content_type, opened.size) == ("tea.txt", "text/plain", 3)
    by_name = OpenNewest(world.store, world.blob_store)
    assert await bytes_of(await by_name(ada, "tea.txt")) == b"new"
    assert await bytes_of(await by_name(ada, "/te\\a.txt")) == b"new"
    with pytest.raises(InvalidFilename):
        await by_name(ada, "..")


@pytest.mark.parametrize(
    ("start", "end", "expected"), [(0, 3, b"Ear"), (5, 9, b"Grey"), (8, 8, b""), (1, 7, b"arl Gr")]
)
async def test_a_part_of_the_content_can_be_read(world: World, start: int, end: int, expected: bytes) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada, b"Earl Grey")
    opened = await OpenFile(world.store, world.blob_store)(ada, file.id)
    async with opened.read(start, end) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == expected


async def test_ones_own_files_are_listed_newest_first(world: World) -> None:
    ada = await an_actor(world)
    files = [await has_file(world, ada, filename=name) for name in ("a.txt", "b.txt")]
    assert (await ListFiles(world.store)(ada, PageRequest())).items == files[::-1]


async def test_a_deleted_file_is_gone_and_that_is_announced(world: World) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada)
    await world.delete_file(ada, file.id)
    with pytest.raises(FileNotFound):
        await GetFile(world.store)(ada, file.id)
    assert world.store.announced[-1] == FileDeleted(file.id, ada.user.id, file.sha256)


async def test_a_deleted_user_leaves_no_files_and_no_bytes_that_nobody_else_has(world: World) -> None:
    ada, bob = await an_actor(world), await an_actor(world, "bob@example.org")
    for n in range(BATCH + 1):
        await has_file(world, ada, b"%d" % n)
    shared = await has_file(world, bob, b"7")
    await world.delete_own_account(ada, password=Password(PASSWORD))
    await world.do_jobs()
    assert (await world.store.files(ada.user.id, PageRequest())).total == 0
    assert world.blob_store.blobs == {shared.sha256: b"7"}
    assert world.store.blobs == [shared.sha256]
    assert not any(isinstance(event, FileDeleted) for event in world.store.announced), "nobody is left to be told"
    assert await world.store.last_change(ada.user.id) == 0


async def create_link(world: World, actor: Actor, file: File, lifetime: timedelta = timedelta(seconds=1)) -> Link:
    return await CreateLink(world.store.begin, world.store, world.secrets, world.clock)(actor, file.id, lifetime)


async def open_link(world: World, link: Link) -> bytes:
    opened = OpenLink(world.store, world.blob_store, world.secrets, world.clock)
    return await bytes_of(await opened(link.file_id, link.expires, link.signature))


async def test_a_link_opens_its_content_until_its_time_is_over(world: World) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada)
    world.clock.advance(timedelta(microseconds=1))
    link = await create_link(world, ada, file)
    assert timedelta(seconds=1) <= link.expires_at - world.clock.now() < timedelta(seconds=2)
    world.clock.advance(link.expires_at - world.clock.now() - timedelta(microseconds=1))
    assert await open_link(world, link) == b"tea"
    world.clock.advance(timedelta(microseconds=1))
    with pytest.raises(InvalidLink):
        await open_link(world, link)


async def test_what_is_done_with_a_link_is_told_of_it(world: World) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada)
    told: list[Link] = []

    async def also(_: Work, link: Link) -> None:
        told.append(link)

    create = CreateLink(world.store.begin, world.store, world.secrets, world.clock)
    link = await create(ada, file.id, timedelta(seconds=1), also=also)
    assert told == [link]


async def test_a_link_dies_with_its_file(world: World) -> None:
    ada = await an_actor(world)
    file = await has_file(world, ada)
    link = await create_link(world, ada, file)
    await world.delete_file(ada, file.id)
    await has_file(world, ada)
    with pytest.raises(FileNotFound):
        await open_link(world, link)


@pytest.mark.parametrize("signature", ["", "x", "\u00e9", "\ud800"])
async def test_a_link_that_was_not_made_so_opens_nothing(world: World, signature: str) -> None:
    ada = await an_actor(world)
    file, other = await has_file(world, ada), await has_file(world, ada)
    link = await create_link(world, ada, file)
    for wrong in (
        Link(other.id, link.expires, link.signature),
        Link(file.id, link.expires + "0", link.signature),
        Link(file.id, "0" + link.expires, link.signature),
        Link(file.id, "", link.signature),
        Link(file.id, link.expires, link.signature + signature + "="),
        Link(file.id, link.expires, signature),
    ):
        with pytest.raises(InvalidLink):
            await open_link(world, wrong)
