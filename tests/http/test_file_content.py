"""Giving content out: names, ranges, conditions, and the cage that it is served in."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from tests.deployments import on
from tests.http.answers import outcome
from tests.http.uploading import TEA, Headers, upload
from tests.running_app import RunningApp

TEN = b"0123456789"


async def content(app: RunningApp, headers: Headers, file: dict[str, Any], more: Headers | None = None) -> Any:
    return await app.http.get(f"/files/{file['id']}/content", headers={**headers, **(more or {})})


async def test_content_is_given_as_an_attachment_in_a_cage(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, b"<script>alert(1)</script>", "page.html", "text/html")
    response = await content(app, ada, file)
    assert (response.status_code, response.content) == (200, b"<script>alert(1)</script>")
    expected = {
        "Content-Type": "text/html",
        "Content-Length": "25",
        "Content-Disposition": "attachment; filename=\"page.html\"; filename*=UTF-8''page.html",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "ETag": f'"{file["sha256"]}"',
    }
    assert {name: response.headers[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/png", "inline"),
        ("image/webp", "inline"),
        ("image/svg+xml", "attachment"),
        ("text/html", "attachment"),
        ("application/pdf", "attachment"),
    ],
)
async def test_only_images_are_shown_and_only_if_that_is_asked_for(
    app: RunningApp, content_type: str, kind: str
) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, content_type=content_type)
    for query, expected in (({}, "attachment"), ({"inline": "false"}, "attachment"), ({"inline": "true"}, kind)):
        response = await app.http.get(f"/files/{file['id']}/content", params=query, headers=ada)
        assert response.headers["Content-Disposition"].partition(";")[0] == expected
        assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    ("name", "plain", "extended"),
    [
        ("a b.txt", "a b.txt", "a%20b.txt"),
        ('"quoted";x=1.txt', "_quoted_;x=1.txt", "%22quoted%22%3Bx%3D1.txt"),
        ("100%.txt", "100_.txt", "100%25.txt"),
        ("\u00fcber.txt", "_ber.txt", "%C3%BCber.txt"),
        ("\u8336.txt", "_.txt", "%E8%8C%B6.txt"),
        ("\u05e9\u05dc\u05d5\u05dd", "____", "%D7%A9%D7%9C%D7%95%D7%9D"),
    ],
)
async def test_a_name_in_any_script_is_given_back(app: RunningApp, name: str, plain: str, extended: str) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, filename=name)
    assert file["filename"] == name
    response = await content(app, ada, file)
    expected = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{extended}"
    assert response.headers["Content-Disposition"] == expected
    by_name = await app.http.get(f"/files/download/{quote(name, safe='')}", headers=ada)
    assert by_name.content == TEA
    assert by_name.headers["Content-Disposition"] == expected


async def test_the_newest_file_of_a_name_is_downloaded(app: RunningApp) -> None:
    _, ada = await app.user()
    for body in (b"old", b"new"):
        await upload(app, ada, body, "a.txt")
    assert (await app.http.get("/files/download/a.txt", headers=ada)).content == b"new"
    assert outcome(await app.http.get("/files/download/b.txt", headers=ada)) == (404, "file_not_found")
    assert outcome(await app.http.get("/files/download/%00", headers=ada)) == (422, "validation_error")
    assert outcome(await app.http.get("/files/download/%FF", headers=ada))[0] in (404, 422)
    assert outcome(await app.http.get("/files/download/..%2f..%2fetc%2fpasswd", headers=ada)) == (404, "not_found")


@pytest.mark.parametrize(
    ("asked", "given", "where"),
    [
        ("bytes=0-3", b"0123", "0-3"),
        ("bytes=9-", b"9", "9-9"),
        ("bytes=0-0", b"0", "0-0"),
        ("bytes=5-1000", b"56789", "5-9"),
        ("bytes=-3", b"789", "7-9"),
        ("bytes=-1000", TEN, "0-9"),
        ("bytes=0-9", TEN, "0-9"),
        ("BYTES= 1-2 ", b"12", "1-2"),
    ],
)
async def test_a_range_is_given(app: RunningApp, asked: str, given: bytes, where: str) -> None:
    _, ada = await app.user()
    response = await content(app, ada, await upload(app, ada, TEN), {"Range": asked})
    assert (response.status_code, response.content) == (206, given)
    assert response.headers["Content-Range"] == f"bytes {where}/10"
    assert response.headers["Content-Length"] == str(len(given))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=-0", f"bytes={'9' * 30}-"])
async def test_a_range_outside_of_the_content_is_refused(app: RunningApp, asked: str) -> None:
    _, ada = await app.user()
    response = await content(app, ada, await upload(app, ada, TEN), {"Range": asked})
    assert outcome(response) == (416, "range_not_satisfiable")
    assert response.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=3-1",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "items=0-1",
        "bytes=0-1,3-4",
        f"bytes={'9' * 5000}-",
        f"bytes=-{'9' * 5000}",
        "bytes 0-1",
        "0-1",
        "",
    ],
)
async def test_what_is_no_single_range_gets_the_whole(app: RunningApp, asked: str) -> None:
    _, ada = await app.user()
    response = await content(app, ada, await upload(app, ada, TEN), {"Range": asked})
    assert (response.status_code, response.content) == (200, TEN)
    assert "Content-Range" not in response.headers


async def test_whatever_range_is_asked_for_the_answer_is_true(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, TEN)
    asked: list[str] = []

    @settings(max_examples=80)
    @given(st.from_regex(r"bytes=([0-9]{0,2}-[0-9]{0,2}|[-0-9, ]{0,8})", fullmatch=True))
    def collect(value: str) -> None:
        asked.append(value)

    collect()
    for value in asked:
        response = await content(app, ada, file, {"Range": value})
        if response.status_code == 206:
            match = re.fullmatch(r"bytes ([0-9]+)-([0-9]+)/10", response.headers["Content-Range"])
            assert match is not None
            assert response.content == TEN[int(match[1]) : int(match[2]) + 1] != b""
        elif response.status_code == 200:
            assert response.content == TEN
        else:
            assert (response.status_code, response.headers["Content-Range"]) == (416, "bytes */10")


async def test_a_range_of_something_else_by_now_gets_the_whole(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, TEN)
    tag = f'"{file["sha256"]}"'
    for condition, status in (
        (tag, 206),
        (f"W/{tag}", 200),
        ('"another"', 200),
        ("Tue, 24 Nov 2026 09:30:00 GMT", 200),
    ):
        response = await content(app, ada, file, {"Range": "bytes=0-1", "If-Range": condition})
        assert response.status_code == status


async def test_content_that_the_client_has_is_not_sent_again(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, TEN)
    tag = f'"{file["sha256"]}"'
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        response = await content(app, ada, file, {"If-None-Match": known, "Range": "bytes=0-1"})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["ETag"] == tag
    assert (await content(app, ada, file, {"If-None-Match": '"other"'})).status_code == 200


async def test_who_goes_on_with_content_that_is_another_by_now_is_told(app: RunningApp) -> None:
    _, ada = await app.user()
    tag = f'"{(await upload(app, ada, TEN, "a.txt"))["sha256"]}"'

    async def go_on(condition: str) -> Any:
        return await app.http.get("/files/download/a.txt", headers={**ada, "Range": "bytes=5-", "If-Match": condition})

    for condition in (tag, f'"other", {tag}', "*"):
        response = await go_on(condition)
        assert (response.status_code, response.content) == (206, TEN[5:])
    for condition in (f"W/{tag}", '"other"', "no tag", ""):
        assert outcome(await go_on(condition)) == (412, "version_mismatch")
    await upload(app, ada, b"something else", "a.txt")
    assert outcome(await go_on(tag)) == (412, "version_mismatch")


async def test_an_empty_file_is_served_and_has_no_ranges(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, b"")
    whole = await content(app, ada, file)
    assert (whole.status_code, whole.content, whole.headers["Content-Length"]) == (200, b"", "0")
    for asked in ("bytes=0-", "bytes=-5"):
        assert (await content(app, ada, file, {"Range": asked})).status_code == 416


async def test_head_says_what_get_would_without_the_content(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, TEN)
    for path in (f"/files/{file['id']}/content", f"/files/download/{file['filename']}"):
        got = await app.http.get(path, headers=ada)
        head = await app.http.head(path, headers={**ada, "Range": "bytes=0-1"})
        assert (head.status_code, head.content) == (200, b"")
        for name in ("ETag", "Content-Length", "Content-Type", "Content-Disposition"):
            assert head.headers[name] == got.headers[name]
    assert (await app.http.head("/files/4711/content", headers=ada)).status_code == 404


async def test_content_whose_bytes_are_gone_is_not_found(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada, TEN)
    await app.container.blobs().delete(file["sha256"])
    assert outcome(await content(app, ada, file)) == (404, "content_not_found")


@on(storage="disk")
async def test_the_server_sends_the_file_itself_where_it_can(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": file["location"],
        "raw_path": file["location"].encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in ada.items()],
        "client": ("203.0.113.7", 40000),
        "extensions": {"http.response.pathsend": {}},
    }
    await app.app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.pathsend"]
    assert sent[1]["path"] == str((app.data / "files").resolve().joinpath(*_places(file["sha256"])))


def _places(sha256: str) -> tuple[str, str, str]:
    return sha256[:2], sha256[2:4], sha256
