"""Files over HTTP: what the contract says of them, on each deployment."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from tests.deployments import on
from tests.http.answers import outcome, without_request_id, work_done
from tests.http.conftest import StartApp
from tests.http.uploading import TEA, form, part, stored, upload
from tests.running_app import PASSWORD, RunningApp
from tests.small_file_system import small_file_system

MEBIBYTE: Final = 1024 * 1024


async def test_an_upload_is_answered_with_the_file(app: RunningApp) -> None:
    user, ada = await app.user()
    response = await app.http.post("/files/upload", files={"file": ("tea.txt", TEA, "text/plain")}, headers=ada)
    file = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/files/{file['id']}"
    assert file == {
        "id": file["id"],
        "filename": "tea.txt",
        "content_type": "text/plain",
        "size": len(TEA),
        "sha256": sha256(TEA).hexdigest(),
        "owner_id": user["id"],
        "location": f"/api/v1/files/{file['id']}/content",
        "image": None,
        "created_at": file["created_at"],
    }
    assert file["created_at"].endswith("Z")
    assert (await app.http.get(f"/files/{file['id']}", headers=ada)).json() == file
    assert (await app.at_root.get(file["location"], headers=ada)).content == TEA


async def test_several_files_are_stored_together(app: RunningApp) -> None:
    _, ada = await app.user()
    names = [f"{n}.txt" for n in range(20)]
    response = await app.http.post(
        "/files/upload-multiple", files=[("files", (name, name.encode(), "text/plain")) for name in names], headers=ada
    )
    answer = response.json()
    assert response.status_code == 201
    assert (answer["filenames"], answer["count"]) == (names, 20)
    assert [file["filename"] for file in answer["files"]] == names
    for file in answer["files"]:
        content = await app.http.get(f"/files/{file['id']}/content", headers=ada)
        assert content.content == file["filename"].encode()


async def test_all_files_are_stored_or_none(start_app: StartApp) -> None:
    app = await start_app(max_upload_bytes=100)
    _, ada = await app.user()
    for bad in (("b.txt", bytes(101)), ("..", b"tea")):
        response = await app.http.post(
            "/files/upload-multiple", files=[("files", ("a.txt", b"tea")), ("files", bad)], headers=ada
        )
        assert response.status_code in (413, 422)
    assert (await app.http.get("/files/", headers=ada)).json()["total"] == 0
    assert stored(app) == {}


@pytest.mark.parametrize(
    ("path", "parts", "field"),
    [
        ("upload", [], "body.file"),
        ("upload", [part(b"other")], "body.other"),
        ("upload", [part(), part()], "body.file"),
        ("upload", [part(), part(b"other", None)], "body.other"),
        ("upload", [part(filename=None)], "body.file"),
        ("upload", [part(filename=b"")], "body.file"),
        ("upload", [part(filename=b"..")], "body.file"),
        ("upload", [part(filename=b"\xed\xa0\x80")], "body.file"),
        ("upload", [part(b"\xff")], "body.?"),
        ("upload", [part(filename="\u202e".encode())], "body.file"),
        ("upload-multiple", [], "body.files"),
        ("upload-multiple", [part(b"file")], "body.file"),
        ("upload-multiple", [part(b"files")] * 21, "body.files"),
    ],
)
async def test_a_form_of_another_shape_is_refused(app: RunningApp, path: str, parts: list[bytes], field: str) -> None:
    _, ada = await app.user()
    body, headers = form(*parts)
    response = await app.http.post(f"/files/{path}", content=body, headers={**ada, **headers})
    assert outcome(response) == (422, "validation_error")
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert (await app.http.get("/files/", headers=ada)).json()["total"] == 0
    assert stored(app) == {}


async def nothing() -> AsyncIterator[bytes]:
    """A body in chunks, of which there are none."""
    for chunk in list[bytes]():
        yield chunk


async def test_an_empty_body_lacks_the_field(app: RunningApp) -> None:
    _, ada = await app.user()
    for path, field in (("upload", "body.file"), ("upload-multiple", "body.files")):
        for content in (None, nothing()):
            response = await app.http.post(f"/files/{path}", headers={**ada, **form()[1]}, content=content)
            assert outcome(response) == (422, "validation_error")
            assert response.json()["errors"] == [{"field": field, "message": "Field required", "type": "missing"}]


async def test_another_type_than_a_form_is_refused(app: RunningApp) -> None:
    _, ada = await app.user()
    body, headers = form(part())
    for wrong in (
        {"Content-Type": "application/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {**headers, "Content-Encoding": "gzip"},
        {**headers, "Transfer-Encoding": "gzip, chunked"},
    ):
        response = await app.http.post("/files/upload", content=body, headers={**ada, **wrong})
        assert outcome(response) == (415, "unsupported_media_type")


async def test_nobody_uploads_without_signing_in(app: RunningApp) -> None:
    body, headers = form(part())
    response = await app.http.post("/files/upload", content=body, headers=headers)
    assert outcome(response) == (401, "not_authenticated")
    assert stored(app) == {}


async def test_too_large_a_file_is_refused_and_nothing_is_left_behind(start_app: StartApp) -> None:
    app = await start_app(max_upload_bytes=1000)
    _, ada = await app.user()
    for size in (1001, 3_000_000):
        response = await app.http.post("/files/upload", files={"file": ("a", bytes(size))}, headers=ada)
        assert outcome(response) == (413, "file_too_large")
        assert response.json()["message"] == "File size exceeds 1000 bytes"
    assert (await upload(app, ada, bytes(1000)))["size"] == 1000
    await work_done(app)
    assert len(stored(app)) == 1


async def test_more_than_the_quota_is_refused_and_nothing_is_left_behind(start_app: StartApp) -> None:
    app = await start_app(storage_quota_bytes=1000)
    (_, ada), (_, bob) = await app.user(), await app.user()
    first = await upload(app, ada, bytes(600))
    response = await app.http.post("/files/upload", files={"file": ("a", bytes(401))}, headers=ada)
    assert outcome(response) == (413, "quota_exceeded")
    await upload(app, bob, bytes(1000))
    assert (await app.http.delete(f"/files/{first['id']}", headers=ada)).status_code == 204
    await upload(app, ada, bytes(1000))
    await work_done(app)
    assert stored(app) == {sha256(bytes(1000)).hexdigest(): bytes(1000)}


@on(storage="disk")
async def test_a_full_disk_is_said_leaves_nothing_behind_and_the_next_upload_works(
    start_app: StartApp, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(exist_ok=True)
    with small_file_system(tmp_path / "data" / "files", mebibytes=4):
        app = await start_app()
        _, ada = await app.user()
        first = await upload(app, ada, bytes(2 * MEBIBYTE))
        for form_field, path in (("file", "upload"), ("files", "upload-multiple")):
            files = [(form_field, ("large", b"x" * 3 * MEBIBYTE))]
            response = await app.http.post(f"/files/{path}", files=files, headers=ada)
            assert outcome(response) == (507, "storage_full")
            assert response.headers["Retry-After"]
        assert list(stored(app)) == [first["sha256"]]
        assert (await app.http.get("/files/", headers=ada)).json()["total"] == 1
        await app.http.delete(f"/files/{first['id']}", headers=ada)
        await work_done(app)
        await upload(app, ada, b"x" * 3 * MEBIBYTE)


@on(database="sqlite", storage="disk")
async def test_a_disk_too_full_for_the_database_is_said_and_leaves_nothing_behind(start_app: StartApp) -> None:
    app = await start_app()
    _, ada = await app.user()
    resumable = {"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Metadata": "filename YQ==," + "x" * 8000}

    async def allow(pages: str) -> None:
        await app.container.database().writer.run(
            lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        )

    async def upload_until_full() -> list[dict[str, Any]]:
        """What was stored before it was."""
        files: list[dict[str, Any]] = []
        while True:
            response = await app.http.post(
                "/files/upload", files={"file": ("x" * 255, b"%d" % len(files))}, headers=ada
            )
            if response.status_code != 201:
                assert outcome(response) == (507, "storage_full")
                return files
            files.append(response.json())

    await allow("1")  # as many as there are
    files = await upload_until_full()
    begun = [await app.http.post("/files/resumable", headers=ada | resumable) for _ in range(8)]
    assert outcome(begun[-1]) == (507, "storage_full")
    assert set(stored(app)) == {file["sha256"] for file in files}

    await allow("1000000")
    assert (await app.http.post("/files/resumable", headers=ada | resumable)).status_code == 201
    await upload(app, ada)


async def test_files_are_listed_newest_first_by_offset_and_by_cursor(app: RunningApp) -> None:
    (_, ada), (_, bob) = await app.user(), await app.user()
    ids = [(await upload(app, ada, b"%d" % n))["id"] for n in range(5)][::-1]
    await upload(app, bob)

    async def page(**query: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await app.http.get("/files/", params=query, headers=ada)).json()
        return answer

    first = await page(limit=2)
    assert ([file["id"] for file in first["items"]], first["total"], first["pages"]) == (ids[:2], 5, 3)
    assert [file["id"] for file in (await page(limit=2, skip=1))["items"]] == ids[1:3]
    second = await page(limit=2, cursor=first["next_cursor"])
    last = await page(limit=2, cursor=second["next_cursor"])
    assert [file["id"] for file in second["items"] + last["items"]] == ids[2:]
    assert (second["total"], last["next_cursor"]) == (None, None)
    for path, headers in (("/items/", ada), ("/files/", bob)):
        elsewhere = await app.http.get(path, params={"cursor": first["next_cursor"]}, headers=headers)
        assert outcome(elsewhere) == (422, "validation_error")


@pytest.mark.parametrize("superuser", [False, True])
async def test_anothers_file_is_as_one_that_does_not_exist(app: RunningApp, superuser: bool) -> None:
    _, ada = await app.user()
    _, other = await (app.superuser() if superuser else app.user())
    file = await upload(app, ada)

    async def ask(method: str, path: str) -> list[Any]:
        body: dict[str, Any] = {"json": {"expires_in": 60}} if method == "POST" else {}
        answers = []
        for file_id in (file["id"], 4711):
            answer = await app.http.request(method, path.format(file_id), headers=other, **body)
            assert outcome(answer) == (404, "file_not_found")
            answers.append({**without_request_id(answer), "path": ""})
        return answers

    for method, path in (
        ("GET", "/files/{}"),
        ("DELETE", "/files/{}"),
        ("GET", "/files/{}/content"),
        ("POST", "/files/{}/link"),
    ):
        asked = await ask(method, path)
        assert asked[0] == asked[1]
    assert outcome(await app.http.get("/files/download/tea.txt", headers=other)) == (404, "file_not_found")
    assert (await app.http.get(f"/files/{file['id']}", headers=ada)).json() == file


async def test_a_deleted_file_takes_its_bytes_along_once_nobody_else_has_them(app: RunningApp) -> None:
    (_, ada), (_, bob) = await app.user(), await app.user()
    first, second = await upload(app, ada), await upload(app, bob)
    assert len(stored(app)) == 1
    assert (await app.http.delete(f"/files/{first['id']}", headers=ada)).status_code == 204
    assert outcome(await app.http.get(f"/files/{first['id']}", headers=ada)) == (404, "file_not_found")
    assert outcome(await app.http.delete(f"/files/{first['id']}", headers=ada)) == (404, "file_not_found")
    await work_done(app)
    assert len(stored(app)) == 1
    await app.http.delete(f"/files/{second['id']}", headers=bob)
    await work_done(app)
    assert stored(app) == {}


async def test_a_deleted_account_takes_its_files_along(app: RunningApp) -> None:
    (_, ada), (_, bob) = await app.user(), await app.user()
    await upload(app, ada, b"her own")
    await upload(app, ada, b"shared")
    await upload(app, bob, b"shared")
    response = await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=ada)
    assert response.status_code == 204
    await work_done(app)
    assert list(stored(app).values()) == [b"shared"]


async def test_where_files_are_uploaded_to_is_no_id(app: RunningApp) -> None:
    for path in ("upload", "upload-multiple"):
        for method in ("GET", "DELETE", "PUT"):
            response = await app.http.request(method, f"/files/{path}")
            assert outcome(response) == (405, "method_not_allowed")
            assert response.headers["Allow"] == "POST"
    _, ada = await app.user()
    assert outcome(await app.http.get("/files/another", headers=ada)) == (422, "validation_error")


NAMES = [
    (b"../../etc/passwd", "....etcpasswd"),
    (b"C:\\fakepath\\a.txt", "a.txt"),
    (b'a\\"b.txt', 'a"b.txt'),
    (b"\xed\xa0\x80a\xff.txt", "a.txt"),
    (b"a%22b.txt", 'a"b.txt'),
    ("\u0645\u0631\u062d\u0628\u0627.txt".encode(), "\u0645\u0631\u062d\u0628\u0627.txt"),
    (b"x" * 4096 + b".txt", "x" * 251 + ".txt"),
    ("\U0001f4c4".encode() * 4000, "\U0001f4c4" * 255),
]


@pytest.mark.parametrize(("sent", "label"), NAMES)
async def test_a_name_is_a_label(app: RunningApp, sent: bytes, label: str) -> None:
    _, ada = await app.user()
    body, headers = form(part(filename=sent))
    response = await app.http.post("/files/upload", content=body, headers={**ada, **headers})
    assert response.status_code == 201, response.text
    assert response.json()["filename"] == label
    assert list(stored(app)) == [sha256(b"tea").hexdigest()]


async def test_a_type_that_is_none_is_not_kept(app: RunningApp) -> None:
    _, ada = await app.user()
    for given, kept in (("text/html", "text/html"), ("none", "application/octet-stream")):
        assert (await upload(app, ada, content_type=given))["content_type"] == kept
