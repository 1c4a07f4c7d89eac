"""Images over HTTP: what the contract says of them, on each deployment."""

import asyncio
from io import BytesIO
from typing import Any, Final

import pytest
from dependency_injector.providers import Object
from PIL import Image

from adapters.images.pillow import PillowImages
from tests.deployments import on
from tests.http.answers import outcome, work_done
from tests.http.conftest import StartApp
from tests.http.uploading import Headers, stored, upload
from tests.images import FORMATS, HOSTILE, HTML, drawn, turned
from tests.running_app import PASSWORD, RunningApp

EXTENSIONS: Final = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "gif": "gif", "webp": "webp"}
WHOLE: Final = 5 * 1024 * 1024


async def try_image(
    app: RunningApp, headers: Headers, content: bytes, filename: str = "a.png", content_type: str = "image/png"
) -> Any:
    return await app.http.post(
        "/files/upload-image", files={"file": (filename, content, content_type)}, headers=headers
    )


async def has_image(app: RunningApp, headers: Headers, content: bytes | None = None) -> dict[str, Any]:
    """A stored PNG, as it is answered."""
    response = await try_image(app, headers, content or drawn("png", 600, 400))
    assert response.status_code == 201, response.text
    file: dict[str, Any] = response.json()
    return file


async def thumbnail(app: RunningApp, headers: Headers, file: dict[str, Any], size: int | None = 64, **more: str) -> Any:
    params = {} if size is None else {"size": size}
    return await app.http.get(f"/files/{file['id']}/thumbnail", params=params, headers={**headers, **more})


class CountedImages(PillowImages):
    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    async def thumbnail(self, content: bytes, size: int) -> bytes:
        self.made += 1
        return await super().thumbnail(content, size)


@pytest.mark.parametrize("extension", EXTENSIONS)
async def test_an_image_is_answered_with_its_size_and_the_type_it_is_of(app: RunningApp, extension: str) -> None:
    _, ada = await app.user()
    content = drawn(EXTENSIONS[extension])
    response = await try_image(app, ada, content, f"a.{extension.upper()}", "text/html")
    file = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/files/{file['id']}"
    assert file["image"] == {"width": 60, "height": 40, "format": EXTENSIONS[extension]}
    assert file["content_type"] == f"image/{EXTENSIONS[extension]}"
    assert (await app.http.get(f"/files/{file['id']}", headers=ada)).json() == file
    shown = await app.at_root.get(file["location"], params={"inline": True}, headers=ada)
    assert shown.content == content
    assert shown.headers["Content-Type"] == file["content_type"]
    assert shown.headers["Content-Disposition"].startswith("inline;")


async def test_width_and_height_are_those_that_people_see(app: RunningApp) -> None:
    _, ada = await app.user()
    response = await try_image(app, ada, turned(6), "a.jpg")
    assert response.json()["image"] == {"width": 60, "height": 40, "format": "jpeg"}


@pytest.mark.parametrize(
    ("filename", "message"),
    [
        ("a.exe", "File extension .exe not allowed"),
        ("a.png.svg", "File extension .svg not allowed"),
        ("a.tiff", "File extension .tiff not allowed"),
        ("png", "A file extension is needed"),
    ],
)
async def test_another_extension_is_refused(app: RunningApp, filename: str, message: str) -> None:
    _, ada = await app.user()
    response = await try_image(app, ada, drawn(), filename)
    assert outcome(response) == (415, "file_type_not_allowed")
    assert response.json()["message"] == message
    assert stored(app) == {}


async def test_an_image_may_have_5_mebibytes_and_not_a_byte_more(app: RunningApp) -> None:
    _, ada = await app.user()
    image = drawn("jpeg")
    response = await try_image(app, ada, image + bytes(WHOLE + 1 - len(image)), "a.jpg")
    assert outcome(response) == (413, "file_too_large")
    assert response.json()["message"] == "File size exceeds 5242880 bytes"
    assert stored(app) == {}
    response = await try_image(app, ada, image + bytes(WHOLE - len(image)), "a.jpg")
    assert response.status_code == 201


async def test_how_large_an_image_may_be_is_set(start_app: StartApp) -> None:
    app = await start_app(max_image_bytes=100)
    _, ada = await app.user()
    response = await try_image(app, ada, drawn("jpeg"), "a.jpg")
    assert outcome(response) == (413, "file_too_large")
    assert response.json()["message"] == "File size exceeds 100 bytes"


@pytest.mark.parametrize("image_format", FORMATS)
async def test_an_image_must_be_of_the_type_that_its_name_says(app: RunningApp, image_format: str) -> None:
    _, ada = await app.user()
    for extension in set(FORMATS) - {image_format}:
        response = await try_image(app, ada, drawn(image_format), f"a.{extension}", f"image/{extension}")
        assert outcome(response) == (422, "invalid_image")
        assert response.json()["message"] == "The image is of another type than its name says"
    assert stored(app) == {}


@on(mail="file")  # both databases and both stores are among these, and nothing else has to do with it
async def test_every_hostile_file_is_refused_and_nothing_of_it_is_left(app: RunningApp) -> None:
    _, ada = await app.user()
    for name, make in HOSTILE.items():
        for extension in ("png", "jpg"):
            response = await try_image(app, ada, make(), f"a.{extension}")
            assert outcome(response) == (422, "invalid_image"), name
    await work_done(app)
    assert stored(app) == {}
    assert (await app.http.get("/files/", headers=ada)).json()["total"] == 0


async def test_where_images_are_uploaded_to_is_no_id(app: RunningApp) -> None:
    for method in ("GET", "DELETE", "PUT"):
        response = await app.http.request(method, "/files/upload-image")
        assert outcome(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"


async def test_nobody_uploads_or_sees_images_without_signing_in(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await has_image(app, ada)
    assert outcome(await try_image(app, {}, drawn())) == (401, "not_authenticated")
    assert outcome(await thumbnail(app, {}, file)) == (401, "not_authenticated")


@pytest.mark.parametrize(
    ("size", "expected"), [(64, (64, 43)), (256, (256, 171)), (1024, (600, 400)), (None, (256, 171))]
)
async def test_a_thumbnail_is_a_webp_that_fits_the_square(
    app: RunningApp, size: int | None, expected: tuple[int, int]
) -> None:
    _, ada = await app.user()
    response = await thumbnail(app, ada, await has_image(app, ada), size)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "image/webp"
    with Image.open(BytesIO(response.content), formats=["WEBP"]) as image:
        assert image.size == expected


async def test_a_thumbnail_is_upright_and_tells_nothing_of_the_camera(app: RunningApp) -> None:
    _, ada = await app.user()
    file = (await try_image(app, ada, turned(6), "a.jpg")).json()
    response = await thumbnail(app, ada, file)
    assert b"Camera of Ada" in turned(6)
    assert b"Ada" not in response.content
    with Image.open(BytesIO(response.content), formats=["WEBP"]) as image:
        assert image.size == (60, 40)
        assert not {"exif", "icc_profile", "xmp"} & set(image.info)


async def test_a_thumbnail_is_shown_in_a_cage_and_not_sent_twice(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await has_image(app, ada)
    response = await thumbnail(app, ada, file)
    assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Disposition"] == "inline; filename=\"a.webp\"; filename*=UTF-8''a.webp"
    again = await thumbnail(app, ada, file, **{"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == response.headers["ETag"]
    larger = await thumbnail(app, ada, file, 256, **{"If-None-Match": response.headers["ETag"]})
    assert larger.status_code == 200


@pytest.mark.parametrize("size", ["0", "65", "-64", "64.5", "", "large", "64&size=256x"])
async def test_there_are_three_sizes(app: RunningApp, size: str) -> None:
    _, ada = await app.user()
    file = await has_image(app, ada)
    response = await app.http.get(f"/files/{file['id']}/thumbnail?size={size}", headers=ada)
    assert outcome(response) == (422, "validation_error")
    assert [error["field"] for error in response.json()["errors"]] == ["query.size"]


async def test_a_thumbnail_is_made_once_though_20_ask_at_the_same_time(start_app: StartApp) -> None:
    images = CountedImages()
    app = await start_app(prepare=lambda container: container.pictures.override(Object(images)))
    _, ada = await app.user()
    file = await has_image(app, ada)
    responses = await asyncio.gather(*(thumbnail(app, ada, file) for _ in range(20)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert images.made == 1
    assert (await thumbnail(app, ada, file)).content == responses[0].content
    assert images.made == 1
    assert len(stored(app)) == 2


async def test_of_two_processes_that_make_it_at_once_one_thumbnail_stays(start_app: StartApp) -> None:
    one, other = await start_app(), await start_app(with_worker=False)
    _, ada = await one.user()
    file = await has_image(one, ada)
    responses = await asyncio.gather(*(thumbnail(app, ada, file) for app in (one, other) * 5))
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    await work_done(one)
    assert len(stored(one)) == 2


async def test_a_file_that_is_an_image_has_thumbnails_however_it_was_uploaded(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, drawn("gif"), "a.bin")
    assert file["image"] is None
    assert (await thumbnail(app, ada, file)).headers["Content-Type"] == "image/webp"


@pytest.mark.parametrize("content", [b"tea", HTML, drawn() + HTML, bytes(WHOLE + 1)])
async def test_a_file_that_is_no_image_has_none(app: RunningApp, content: bytes) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, content, "a.png", "image/png")
    assert outcome(await thumbnail(app, ada, file)) == (422, "invalid_image")
    assert len(stored(app)) == 1


async def test_another_users_image_is_as_if_it_did_not_exist(app: RunningApp) -> None:
    _, ada = await app.user()
    _, bob = await app.user()
    _, root = await app.superuser()
    file = await has_image(app, ada)
    await thumbnail(app, ada, file)
    for other in (bob, root):
        assert outcome(await thumbnail(app, other, file)) == (404, "file_not_found")
        assert outcome(await thumbnail(app, other, {"id": file["id"] + 1})) == (404, "file_not_found")


async def test_thumbnails_go_with_the_last_file_that_has_the_image(app: RunningApp) -> None:
    _, ada = await app.user()
    _, bob = await app.user()
    first, second = await has_image(app, ada), await has_image(app, bob)
    for size in (64, 256, 1024):
        await thumbnail(app, ada, first, size)
    assert len(stored(app)) == 4
    await app.http.delete(f"/files/{first['id']}", headers=ada)
    await work_done(app)
    assert outcome(await thumbnail(app, ada, first)) == (404, "file_not_found")
    assert (await thumbnail(app, bob, second)).status_code == 200
    assert len(stored(app)) == 4
    await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=bob)
    await work_done(app)
    assert stored(app) == {}
