"""Every call of every port fails in what is done with files, images and uploads."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

import pytest

from application import resumable
from application.collecting import LEASE, STAGED_GRACE
from application.files import Content, DeleteFile, GetFile, ListFiles, OpenFile, OpenNewest
from application.links import CreateLink, OpenLink
from application.uploads import Upload
from application.users import DeleteUser
from domain.images import ThumbnailSize
from domain.links import Link
from domain.pages import PageRequest
from domain.resumable import LIFETIME, Checksum, ResumableUpload
from tests.builders import a_job
from tests.fakes.images import pretended
from tests.unit.failing_runs import must_survive_any_failure
from tests.unit.failing_scenes import Case, Do, Scene, at_once, chunks, handler, on_begin, on_store

CAT: Final = pretended("png", 640, 480)
SENT: Final = b"The Analytical Engine weaves algebraical patterns"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "PART", 20)


async def sent(*files: tuple[str, bytes]) -> AsyncIterator[Upload]:
    for name, content in files:
        yield Upload(name, "text/plain", chunks(content))


async def has_files(scene: Scene) -> None:
    """A text, and an image with a thumbnail."""
    world = scene.world
    (scene.files["text"],) = await world.store_files(scene.ada, sent(("a.txt", b"tea")))
    scene.files["image"] = await world.store_image(scene.ada, sent(("cat.png", CAT)))
    await world.open_thumbnail(scene.ada, scene.files["image"].id, ThumbnailSize.SMALL)


async def creates(scene: Scene, content: bytes) -> ResumableUpload:
    return await scene.world.create_upload(
        scene.ada, length=len(content), filename="b.txt", declared_type="text/plain", metadata=""
    )


async def has_upload(scene: Scene) -> None:
    """One of which nothing came yet."""
    scene.uploads["new"] = await creates(scene, SENT)


async def has_uploads_that_expire(scene: Scene) -> None:
    scene.uploads_expire = True


async def has_begun(scene: Scene) -> None:
    """An upload of which some came, beside another one."""
    scene.uploads["other"] = await creates(scene, SENT)
    scene.uploads["new"] = upload = await creates(scene, SENT)
    for each in scene.uploads.values():
        await scene.world.receive_upload(
            scene.ada, each.id, offset=0, chunks=chunks(SENT[:25]), declared=25, checksum=None
        )
    assert (await scene.store.resumable_upload(upload.id)).offset == 25


async def has_empty_upload(scene: Scene) -> None:
    scene.uploads["new"] = await creates(scene, b"")


async def has_all(scene: Scene) -> None:
    await has_files(scene)
    await has_begun(scene)


async def has_leftovers(scene: Scene) -> None:
    """What three uploads left that died: staged, claimed, and kept."""
    await has_files(scene)
    store = scene.world.blob_store
    await store.stage(chunks(b"staged"))
    await scene.world.claim(await store.stage(chunks(b"claimed")))
    kept = await store.stage(chunks(b"kept"))
    await scene.world.claim(kept)
    await store.keep(kept)


async def has_deleted_the_image(scene: Scene) -> None:
    await has_files(scene)
    await scene.world.delete_file(scene.ada, scene.files["image"].id)


async def read(content: Content) -> bytes:
    async with content.read(0, content.size) as pieces:
        return b"".join([piece async for piece in pieces])


def reads(expected: bytes, *arguments: Callable[[Scene], Any]) -> Callable[[Scene, Do], Awaitable[None]]:
    """Open something with these arguments, and read it."""

    async def call(scene: Scene, do: Do) -> None:
        assert await read(await do(*(argument(scene) for argument in arguments))) == expected

    return call


def sends(size: int, *, checked: bool = False) -> Callable[[Scene, Do], Awaitable[None]]:
    """Ask how far the upload is, and send what comes next, up to so many bytes in all."""

    async def call(scene: Scene, do: Do) -> None:
        upload_id = scene.uploads["new"].id
        offset = (await scene.store.resumable_upload(upload_id)).offset
        rest = SENT[offset:size]
        checksum = Checksum("sha256", sha256(rest).digest()) if checked else None
        await do(scene.ada, upload_id, offset=offset, chunks=chunks(rest), declared=0, checksum=checksum)

    return call


def _later(
    kind: str, grace: timedelta, payload: Callable[[Scene], dict[str, Any]] = lambda _: {}
) -> Callable[[Scene, Do], Awaitable[Any]]:
    def call(scene: Scene, do: Do) -> Awaitable[Any]:
        scene.world.clock.advance(grace + timedelta(seconds=1))
        return do(a_job(kind, **payload(scene)))

    return call


async def begins(scene: Scene, do: Do) -> None:
    await do(
        scene.ada,
        **{"length": len(SENT), "filename": "b.txt", "declared_type": "text/plain", "metadata": ""},
        **{"chunks": chunks(SENT[:25]), "declared": 25, "checksum": None},
    )


async def opens_the_link(scene: Scene, do: Do) -> None:
    link: Link = await _create_link(scene)(scene.ada, scene.files["text"].id, timedelta(hours=1))
    assert await read(await do(link.file_id, link.expires, link.signature)) == b"tea"


def _create_link(scene: Scene) -> CreateLink:
    return CreateLink(scene.store.begin, scene.store, scene.world.secrets, scene.world.clock)


def _ada(scene: Scene) -> Any:
    return scene.ada


RECEIVE: Final = {"goes_on": True, "once": True}
THUMBNAIL: Final = pretended("webp", 256, 192)
CASES: Final[dict[str, Case]] = {
    "store files": Case(
        lambda s: s.world.store_files,
        lambda s, do: do(s.ada, sent(("1.txt", b"milk"), ("2.txt", b"tea"), ("3.txt", b"milk"))),
        has_files,
        goes_on=True,
    ),
    "store an image": Case(
        lambda s: s.world.store_image, lambda s, do: do(s.ada, sent(("dog.png", pretended("png")))), goes_on=True
    ),
    "get a file": on_store(GetFile, lambda s, do: do(s.ada, s.files["text"].id), prepare=has_files, once=True),
    "list files": on_store(ListFiles, lambda s, do: do(s.ada, PageRequest()), prepare=has_files, once=True),
    "open a file": Case(
        lambda s: OpenFile(s.store, s.world.blob_store),
        reads(b"tea", _ada, lambda s: s.files["text"].id),
        has_files,
        once=True,
    ),
    "open the newest": Case(
        lambda s: OpenNewest(s.store, s.world.blob_store), reads(b"tea", _ada, lambda s: "a.txt"), has_files, once=True
    ),
    "open a thumbnail that is there": Case(
        lambda s: s.world.open_thumbnail,
        reads(pretended("webp", 64, 48), _ada, lambda s: s.files["image"].id, lambda s: ThumbnailSize.SMALL),
        has_files,
        once=True,
    ),
    "make a thumbnail": Case(
        lambda s: s.world.open_thumbnail,
        reads(THUMBNAIL, _ada, lambda s: s.files["image"].id, lambda s: ThumbnailSize.MEDIUM),
        has_files,
        goes_on=True,
        once=True,
    ),
    "delete a file": on_begin(DeleteFile, lambda s, do: do(s.ada, s.files["image"].id), prepare=has_files),
    "create a link": Case(_create_link, lambda s, do: do(s.ada, s.files["text"].id, timedelta(hours=1)), has_files),
    "create a link once": at_once(
        Case(_create_link, lambda s, do: do(s.ada, s.files["text"].id, timedelta(hours=1)), has_files)
    ),
    "open a link": Case(
        lambda s: OpenLink(s.store, s.world.blob_store, s.world.secrets, s.world.clock),
        opens_the_link,
        has_files,
        once=True,
    ),
    "create an upload": Case(
        lambda s: s.world.create_upload,
        lambda s, do: do(s.ada, length=9, filename="b.txt", declared_type=None, metadata=""),
    ),
    "begin an upload with its first bytes": Case(
        lambda s: s.world.begin_upload, begins, has_uploads_that_expire, goes_on=True
    ),
    "ask for an upload": Case(
        lambda s: s.world.get_upload, lambda s, do: do(s.ada, s.uploads["new"].id), has_begun, once=True
    ),
    "send a whole": Case(lambda s: s.world.receive_upload, sends(len(SENT)), has_upload, **RECEIVE),
    "send a part": Case(lambda s: s.world.receive_upload, sends(35), has_upload, **RECEIVE),
    "send a part with a checksum": Case(
        lambda s: s.world.receive_upload, sends(35, checked=True), has_upload, **RECEIVE
    ),
    "send the rest": Case(lambda s: s.world.receive_upload, sends(len(SENT)), has_begun, **RECEIVE),
    "send nothing": Case(lambda s: s.world.receive_upload, sends(0), has_empty_upload, **RECEIVE),
    "terminate an upload": Case(
        lambda s: s.world.terminate_upload, lambda s, do: do(s.ada, s.uploads["new"].id), has_begun, goes_on=True
    ),
    "remove files": handler("remove_files_of_user", lambda s: {"user_id": s.ada.user.id}, prepare=has_files, once=True),
    "remove uploads": handler(
        "remove_uploads_of_user", lambda s: {"user_id": s.ada.user.id}, prepare=has_begun, goes_on=True, once=True
    ),
    "sweep uploads": Case(
        lambda s: s.world.handlers["sweep_resumable_uploads"],
        _later("sweep_resumable_uploads", LIFETIME),
        has_begun,
        goes_on=True,
        once=True,
    ),
    "collect bytes that are used": handler(
        "collect_blob", lambda s: {"sha256": s.files["image"].sha256}, prepare=has_files, once=True
    ),
    "collect bytes": Case(
        lambda s: s.world.handlers["collect_blob"],
        _later("collect_blob", LEASE, lambda s: {"sha256": s.files["image"].sha256}),
        has_deleted_the_image,
        once=True,
    ),
    "sweep bytes": Case(
        lambda s: s.world.handlers["sweep_blobs"], _later("sweep_blobs", STAGED_GRACE), has_leftovers, once=True
    ),
    "delete somebody who has files": on_begin(DeleteUser, lambda s, do: do(s.root, s.ada.user.id), prepare=has_all),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_whichever_call_fails_no_bytes_are_lost_or_left_and_it_can_be_done_again(case: Case) -> None:
    await must_survive_any_failure(case)
