"""Resumable uploads, as the tus protocol 1.0.0 has them."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from tests.fakes import SettableClock
from tests.http.answers import outcome, work_done
from tests.http.conftest import StartApp
from tests.http.uploading import staged, stored
from tests.running_app import PASSWORD, RunningApp, bearer

TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = {"Content-Type": "application/offset+octet-stream"}
SENT = bytes(range(256)) * 400


def base64_of(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def metadata(filename: str = "a.txt", filetype: str = "text/plain") -> dict[str, str]:
    return {"Upload-Metadata": f"filename {base64_of(filename)},filetype {base64_of(filetype)},empty"}


async def create(
    app: RunningApp, ada: dict[str, str], length: int = len(SENT), headers: dict[str, str] | None = None
) -> Any:
    sent = {**ada, **TUS, **metadata(), "Upload-Length": str(length), **(headers or {})}
    return await app.at_root.post("/api/v1/files/resumable", headers=sent)


async def created(app: RunningApp, ada: dict[str, str], length: int = len(SENT)) -> str:
    """The path of a new upload."""
    response = await create(app, ada, length)
    assert response.status_code == 201, response.text
    path: str = response.headers["Location"]
    return path


async def send(
    app: RunningApp, ada: dict[str, str], path: str, content: Any = SENT, offset: Any = 0, **headers: str
) -> Any:
    sent = {**ada, **TUS, **OCTETS, "Upload-Offset": str(offset), **headers}
    return await app.at_root.patch(path, headers=sent, content=content)


async def offset_of(app: RunningApp, ada: dict[str, str], path: str) -> int:
    response = await app.at_root.head(path, headers={**ada, **TUS})
    assert response.status_code == 200
    return int(response.headers["Upload-Offset"])


async def content_of(app: RunningApp, ada: dict[str, str], response: Any) -> bytes:
    content: bytes = (await app.http.get(f"/files/{response.headers['Portico-File-Id']}/content", headers=ada)).content
    return content


async def broken_off(content: bytes) -> AsyncIterator[bytes]:
    """A body whose sender goes away."""
    yield content
    raise ClientDisconnect


@pytest.fixture
async def ada(app: RunningApp) -> dict[str, str]:
    return (await app.user("ada@example.org"))[1]


@pytest.mark.parametrize("path", ["/files/resumable", "/files/resumable/", f"/files/resumable/{'0' * 32}"])
async def test_what_is_spoken_can_be_asked_by_anyone(app: RunningApp, path: str) -> None:
    response = await app.http.request("OPTIONS", path)
    assert (response.status_code, response.content) == (204, b"")
    assert {name: response.headers[name] for name in response.headers if name.startswith("tus-")} == {
        "tus-resumable": "1.0.0",
        "tus-version": "1.0.0",
        "tus-extension": "creation,creation-with-upload,checksum,termination,expiration",
        "tus-max-size": "1073741824",
        "tus-checksum-algorithm": "sha1,sha256,md5",
    }


async def test_the_place_for_uploads_is_no_id_of_a_file(app: RunningApp, ada: dict[str, str]) -> None:
    for path in ("/files/resumable", "/files/resumable/"):
        response = await app.http.get(path, headers=ada)
        assert outcome(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "OPTIONS, POST"


async def test_an_upload_in_pieces_becomes_a_file(app: RunningApp, ada: dict[str, str]) -> None:
    response = await create(app, ada)
    path = response.headers["Location"]
    assert (response.status_code, response.content) == (201, b"")
    assert path.startswith("/api/v1/files/resumable/")
    assert response.headers["Tus-Resumable"] == "1.0.0"
    assert "Portico-File-Id" not in response.headers
    for start in range(0, len(SENT), 40_000):
        assert await offset_of(app, ada, path) == start
        response = await send(app, ada, path, SENT[start : start + 40_000], start)
        assert response.status_code == 204
        assert int(response.headers["Upload-Offset"]) == min(start + 40_000, len(SENT))
    file = (await app.http.get(f"/files/{response.headers['Portico-File-Id']}", headers=ada)).json()
    assert (file["filename"], file["content_type"], file["size"]) == ("a.txt", "text/plain", len(SENT))
    assert file["sha256"] == hashlib.sha256(SENT).hexdigest()
    assert await content_of(app, ada, response) == SENT
    assert staged(app) == []


async def test_how_far_it_is_says_all_that_was_said_of_it(app: RunningApp, ada: dict[str, str]) -> None:
    path = await created(app, ada)
    response = await app.at_root.head(path, headers={**ada, **TUS})
    assert response.headers["Upload-Length"] == str(len(SENT))
    assert response.headers["Upload-Metadata"] == metadata()["Upload-Metadata"]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Tus-Resumable"] == "1.0.0"
    finished = await send(app, ada, path)
    response = await app.at_root.head(path, headers={**ada, **TUS})
    assert response.headers["Upload-Offset"] == str(len(SENT))
    assert response.headers["Portico-File-Id"] == finished.headers["Portico-File-Id"]


async def test_the_first_bytes_may_come_with_the_creation(app: RunningApp, ada: dict[str, str]) -> None:
    sent = {**ada, **TUS, **OCTETS, **metadata(), "Upload-Length": str(len(SENT))}
    response = await app.http.post("/files/resumable", headers=sent, content=SENT[:1000])
    assert (response.status_code, response.headers["Upload-Offset"]) == (201, "1000")
    response = await send(app, ada, response.headers["Location"], SENT[1000:], 1000)
    assert await content_of(app, ada, response) == SENT
    response = await app.http.post("/files/resumable", headers=sent, content=SENT)
    assert (response.status_code, response.headers["Upload-Offset"]) == (201, str(len(SENT)))
    assert await content_of(app, ada, response) == SENT


async def test_an_upload_of_nothing_is_finished_at_once(app: RunningApp, ada: dict[str, str]) -> None:
    response = await create(app, ada, 0)
    assert (response.status_code, response.headers["Upload-Offset"]) == (201, "0")
    assert await content_of(app, ada, response) == b""


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1", ""])
async def test_another_version_is_refused_and_nothing_done(
    app: RunningApp, ada: dict[str, str], version: str | None
) -> None:
    path = await created(app, ada)
    headers = {**ada, **OCTETS, "Upload-Offset": "0", **metadata(), "Upload-Length": "1"}
    if version is not None:
        headers["Tus-Resumable"] = version
    for method, where in (("POST", "/api/v1/files/resumable"), ("PATCH", path), ("DELETE", path), ("HEAD", path)):
        response = await app.at_root.request(method, where, headers=headers, content=b"" if method == "HEAD" else b"x")
        assert response.status_code == 412
        assert (response.headers["Tus-Version"], response.headers["Tus-Resumable"]) == ("1.0.0", "1.0.0")
        if method != "HEAD":
            assert outcome(response) == (412, "unsupported_version")
    assert await offset_of(app, ada, path) == 0


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/json", ""])
async def test_another_type_is_refused(app: RunningApp, ada: dict[str, str], content_type: str) -> None:
    path = await created(app, ada)
    wrong = {"Content-Type": content_type}
    assert outcome(await send(app, ada, path, **wrong)) == (415, "unsupported_media_type")
    sent = {**ada, **TUS, **metadata(), "Upload-Length": "5", **wrong}
    assert outcome(await app.http.post("/files/resumable", headers=sent, content=b"hello")) == (
        415,
        "unsupported_media_type",
    )
    assert await offset_of(app, ada, path) == 0


async def test_another_offset_is_refused(app: RunningApp, ada: dict[str, str]) -> None:
    path = await created(app, ada)
    await send(app, ada, path, SENT[:10])
    for offset in (0, 9, 11, 2**63 - 1):
        assert outcome(await send(app, ada, path, SENT[:10], offset)) == (409, "offset_mismatch")
    for text in ("", "-1", "1.5", "1e3", str(2**63), "\u0661", "10, 10"):
        assert outcome(await send(app, ada, path, SENT[:10], text.encode())) == (400, "invalid_header")
    assert await offset_of(app, ada, path) == 10


async def test_too_much_is_refused(start_app: StartApp) -> None:
    app = await start_app(max_upload_bytes=1000, storage_quota_bytes=1500)
    ada = (await app.user())[1]
    assert outcome(await create(app, ada, 1001)) == (413, "file_too_large")
    path = await created(app, ada, 1000)

    async def without_length() -> AsyncIterator[bytes]:
        yield bytes(1001)

    for content in (bytes(1001), without_length()):
        assert outcome(await send(app, ada, path, content)) == (413, "longer_than_said")
    assert (await send(app, ada, path, bytes(1000))).status_code == 204
    assert outcome(await create(app, ada, 501)) == (413, "quota_exceeded")
    assert staged(app) == []


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
async def test_a_checksum_is_looked_at(app: RunningApp, ada: dict[str, str], algorithm: str) -> None:
    path = await created(app, ada)
    wrong = f"{algorithm} {base64_of(hashlib.new(algorithm, b'something else').digest())}"
    response = await send(app, ada, path, **{"Upload-Checksum": wrong})
    assert outcome(response) == (460, "checksum_mismatch")
    problem = await send(app, ada, path, **{"Upload-Checksum": wrong, "Accept": "application/problem+json"})
    assert (problem.status_code, problem.json()["title"]) == (460, "Checksum Mismatch")
    assert (await offset_of(app, ada, path), staged(app)) == (0, [])
    right = f"{algorithm} {base64_of(hashlib.new(algorithm, SENT).digest())}"
    response = await send(app, ada, path, **{"Upload-Checksum": right})
    assert (response.status_code, await content_of(app, ada, response)) == (204, SENT)


@pytest.mark.parametrize("checksum", ["crc32 AAAA", "sha1", "sha1 ???", "", "sha1  AAAA"])
async def test_a_checksum_that_can_not_be_looked_at_is_refused(
    app: RunningApp, ada: dict[str, str], checksum: str
) -> None:
    path = await created(app, ada)
    refused = await send(app, ada, path, **{"Upload-Checksum": checksum})
    assert refused.status_code in (400, 460)
    assert await offset_of(app, ada, path) == 0


async def test_of_two_who_send_at_once_one_counts(app: RunningApp, ada: dict[str, str]) -> None:
    path = await created(app, ada)
    half = len(SENT) // 2
    for offset in (0, half):
        responses = await asyncio.gather(
            *(send(app, ada, path, SENT[offset : offset + half], offset) for _ in range(3))
        )
        assert sorted(response.status_code for response in responses) == [204, 409, 409]
    (finished,) = (response for response in responses if response.status_code == 204)
    assert await content_of(app, ada, finished) == SENT
    assert len((await app.http.get("/files/", headers=ada)).json()["items"]) == 1
    assert staged(app) == []


async def test_a_terminated_upload_is_gone_and_its_file_stays(app: RunningApp, ada: dict[str, str]) -> None:
    path = await created(app, ada)
    await send(app, ada, path, SENT[:1000])
    response = await app.at_root.delete(path, headers={**ada, **TUS})
    assert (response.status_code, response.headers["Tus-Resumable"]) == (204, "1.0.0")
    assert staged(app) == []
    for gone in (await send(app, ada, path, SENT[1000:], 1000), await app.at_root.delete(path, headers={**ada, **TUS})):
        assert outcome(gone) == (404, "upload_not_found")
    path = await created(app, ada)
    finished = await send(app, ada, path)
    assert (await app.at_root.delete(path, headers={**ada, **TUS})).status_code == 204
    assert await content_of(app, ada, finished) == SENT


async def test_an_upload_expires(app_with_clock: RunningApp, clock: SettableClock) -> None:
    app = app_with_clock
    user, ada = await app.user()
    response = await create(app, ada)
    path, expires = response.headers["Location"], parsedate_to_datetime(response.headers["Upload-Expires"])
    assert abs(expires - clock.now() - timedelta(hours=24)) < timedelta(seconds=2)
    response = await send(app, ada, path, SENT[:1000])
    assert parsedate_to_datetime(response.headers["Upload-Expires"]) == expires
    clock.advance(timedelta(hours=24, seconds=1))
    ada = bearer(await app.sign_in(user["email"]))
    assert outcome(await send(app, ada, path, SENT[1000:], 1000)) == (404, "upload_not_found")


async def test_another_users_upload_is_as_if_it_did_not_exist(app: RunningApp, ada: dict[str, str]) -> None:
    path, unknown = await created(app, ada), f"/api/v1/files/resumable/{'0' * 32}"
    for _, headers in (await app.user(), await app.superuser()):
        for where in (path, unknown):
            assert outcome(await send(app, headers, where)) == (404, "upload_not_found")
            assert outcome(await app.at_root.delete(where, headers={**headers, **TUS})) == (404, "upload_not_found")
            assert (await app.at_root.head(where, headers={**headers, **TUS})).status_code == 404
    assert await offset_of(app, ada, path) == 0


async def test_nobody_uploads_without_signing_in(app: RunningApp, ada: dict[str, str]) -> None:
    path = await created(app, ada)
    for response in (await create(app, {}), await send(app, {}, path)):
        assert outcome(response) == (401, "not_authenticated")
        assert response.headers["Tus-Resumable"] == "1.0.0"


@pytest.mark.parametrize(
    "header",
    ["filename", "filename ?", "filename YQ==,filename YQ==", f"filename {base64_of(chr(0xE9).encode('latin-1'))}"],
)
async def test_metadata_that_can_not_be_read_is_refused(app: RunningApp, ada: dict[str, str], header: str) -> None:
    response = await create(app, ada, headers={"Upload-Metadata": header})
    assert outcome(response) in {(400, "invalid_header"), (422, "validation_error")}


@pytest.mark.parametrize("filename", ["", "/", "\0", "\\"])
async def test_a_file_needs_a_name(app: RunningApp, ada: dict[str, str], filename: str) -> None:
    response = await create(app, ada, headers=metadata(filename))
    assert outcome(response) == (422, "validation_error")
    assert response.json()["errors"][0]["field"] == "header.Upload-Metadata"


async def test_a_name_is_a_label_and_never_a_path(app: RunningApp, ada: dict[str, str]) -> None:
    response = await create(app, ada, 0, metadata("../../etc/passwd", "a lie"))
    file = (await app.http.get(f"/files/{response.headers['Portico-File-Id']}", headers=ada)).json()
    assert (file["filename"], file["content_type"]) == ("....etcpasswd", "application/octet-stream")


@pytest.mark.parametrize("length", ["", "-1", "many", "1_0", "1.5"])
async def test_a_length_must_be_one(app: RunningApp, ada: dict[str, str], length: str) -> None:
    assert outcome(await create(app, ada, headers={"Upload-Length": length})) == (400, "invalid_header")


@pytest.mark.parametrize("number", [str(2**63 - 1), str(2**63), "9" * 5000])
async def test_a_number_of_any_size_is_a_number(app: RunningApp, ada: dict[str, str], number: str) -> None:
    assert outcome(await create(app, ada, headers={"Upload-Length": number})) == (413, "file_too_large")
    path = await created(app, ada)
    assert outcome(await send(app, ada, path, offset=number)) == (409, "offset_mismatch")
    assert await offset_of(app, ada, path) == 0


@pytest.mark.parametrize("content", ["too long", "wrong checksum"])
async def test_a_creation_whose_bytes_are_refused_leaves_nothing(
    app: RunningApp, ada: dict[str, str], content: str
) -> None:
    sent = {**ada, **TUS, **OCTETS, **metadata(), "Upload-Length": "10"}
    sent |= {"Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="} if content == "wrong checksum" else {}
    response = await app.http.post("/files/resumable", headers=sent, content=bytes(11 if content == "too long" else 10))
    assert response.status_code == (413 if content == "too long" else 460)
    assert "Location" not in response.headers
    assert staged(app) == []


async def test_clients_without_patch_and_delete_are_served(app: RunningApp, ada: dict[str, str]) -> None:
    path = await created(app, ada)
    sent = {**ada, **TUS, **OCTETS, "Upload-Offset": "0"}
    response = await app.at_root.post(path, headers={**sent, "X-HTTP-Method-Override": "PATCH"}, content=SENT[:10])
    assert (response.status_code, response.headers["Upload-Offset"]) == (204, "10")
    response = await app.at_root.post(path, headers={**ada, **TUS, "X-HTTP-Method-Override": "DELETE"})
    assert response.status_code == 204
    response = await app.at_root.post(path, headers={**ada, **TUS})
    assert outcome(response) == (405, "method_not_allowed")


async def test_a_page_of_an_allowed_origin_can_upload(app: RunningApp, ada: dict[str, str]) -> None:
    origin = {"Origin": "http://localhost:3000"}
    for method in ("POST", "HEAD", "PATCH", "DELETE"):
        asked = {
            **origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,tus-resumable,upload-length,upload-metadata,upload-offset",
        }
        preflight = await app.at_root.options("/api/v1/files/resumable/", headers=asked)
        assert preflight.status_code == 200
        assert method in preflight.headers["Access-Control-Allow-Methods"]
        assert "upload-offset" in preflight.headers["Access-Control-Allow-Headers"]
    response = await create(app, ada, headers=origin)
    exposed = {name.strip().lower() for name in response.headers["Access-Control-Expose-Headers"].split(",")}
    assert {name for name in response.headers if name.startswith(("tus-", "upload-", "portico-"))} <= exposed


async def test_a_large_one_goes_on_where_it_broke_off(app: RunningApp) -> None:
    _, ada = await app.user()
    content = SENT * 60
    path = await created(app, ada, len(content))
    await send(app, ada, path, content[:1_000_000])
    gone = await send(app, ada, path, broken_off(content[1_000_000:2_000_000]), 1_000_000)
    assert gone.status_code == 400
    offset = await offset_of(app, ada, path)
    finished = await send(app, ada, path, content[offset:], offset)
    assert (offset, await content_of(app, ada, finished)) == (2_000_000, content)
    assert list(stored(app)) == [hashlib.sha256(content).hexdigest()]


async def test_a_deleted_account_takes_its_uploads_along(app: RunningApp) -> None:
    _, ada = await app.user()
    path = await created(app, ada)
    await send(app, ada, path, SENT[:1000])
    assert len(staged(app)) == 1
    assert (await app.http.request("DELETE", "/users/me", headers=ada, json={"password": PASSWORD})).status_code == 204
    await work_done(app)
    assert staged(app) == []
