"""Forms that no honest client sends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http.answers import outcome
from tests.http.uploading import form, part, stored
from tests.running_app import RunningApp

GOOD, HEADERS = form(part(content=b"tea"))
MALFORMED = (400, "malformed_body")


async def send(app: RunningApp, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    _, ada = await app.user()
    return outcome(await app.http.post("/files/upload", content=body, headers={**ada, **headers}))


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": "multipart/form-data; boundary="},
        {"Content-Type": f"multipart/form-data; boundary={'x' * 71}"},
        {"Content-Type": "multipart/form-data; boundary=another"},
    ],
)
async def test_a_form_without_its_boundary_is_malformed(app: RunningApp, headers: dict[str, str]) -> None:
    assert await send(app, GOOD, headers) == MALFORMED


@pytest.mark.parametrize(
    "parts",
    [
        b"no headers at all",
        b"Content-Type: text/plain\r\n\r\ntea",
        b'Content-Disposition: attachment; name="file"; filename="a"\r\n\r\ntea',
        b'Content-Disposition: form-data; filename="a"\r\n\r\ntea',
        b"Bad Header: x\r\n\r\ntea",
        part(more=b"Content-Transfer-Encoding: base64\r\n"),
        part(more=b"X: " + b"x" * 100_000 + b"\r\n"),
        part(more=b"X: y\r\n" * 20),
    ],
)
async def test_a_part_that_cannot_be_understood_is_malformed(app: RunningApp, parts: bytes) -> None:
    body, headers = form(parts)
    assert await send(app, body, headers) == MALFORMED
    assert stored(app) == {}


async def test_a_body_that_ends_early_is_malformed_wherever_it_ends(app: RunningApp) -> None:
    _, ada = await app.user()
    whole = GOOD.removesuffix(b"\r\n")
    for end in range(1, len(whole), 7):
        response = await app.http.post("/files/upload", content=whole[:end], headers={**ada, **HEADERS})
        assert outcome(response) == MALFORMED, whole[:end]
    assert stored(app) == {}


@pytest.mark.parametrize("where", ["before", "after", "in a part"])
async def test_no_more_than_a_mebibyte_is_read_that_is_no_file(app: RunningApp, where: str) -> None:
    much = b"\r\n" * 600_000
    if where == "in a part":
        body, headers = form(*[part(b"files", content=b"", more=b"X: " + b"x" * 30_000 + b"\r\n") for _ in range(40)])
    else:
        body, headers = (much + GOOD if where == "before" else GOOD + much), HEADERS
    status, code = await send(app, body, headers)
    assert (status, code) in {(413, "body_too_large"), (422, "validation_error")}
    assert status == 413 or where == "in a part"
    assert stored(app) == {}


async def test_what_looks_like_the_boundary_stays_content(app: RunningApp) -> None:
    _, ada = await app.user()
    content = b"\r\n--lin\r\n-line\r\n--lin" + b"\r" * 100 + b"\n--" + b"\r\n--lime--" * 1000
    body, headers = form(part(content=content))
    response = await app.http.post("/files/upload", content=body, headers={**ada, **headers})
    assert response.status_code == 201
    assert list(stored(app).values()) == [content]


async def test_any_name_is_a_label_or_refused(app: RunningApp) -> None:
    _, ada = await app.user()

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.text(st.characters(exclude_characters='"\r\n\\', exclude_categories=["Cs"]), max_size=300))
    def collect(name: str) -> None:
        names.append(name)

    names: list[str] = []
    collect()
    for name in names:
        body, headers = form(part(filename=name.encode()))
        response = await app.http.post("/files/upload", content=body, headers={**ada, **headers})
        assert response.status_code in (201, 422), name
        if response.status_code == 201:
            assert 1 <= len(response.json()["filename"]) <= 255
            assert not set(response.json()["filename"]) & set("/\\\0\n\r")
    assert len(stored(app)) <= 1


async def test_a_client_that_sends_nothing_any_more_is_not_waited_for(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrypoints.http.bodies.IDLE_SECONDS", 0.05)
    _, ada = await app.user()

    async def body() -> AsyncIterator[bytes]:
        yield GOOD[:80]
        await asyncio.Event().wait()

    response = await app.http.post("/files/upload", content=body(), headers={**ada, **HEADERS})
    assert outcome(response) == (408, "request_timeout")
    assert response.headers["Connection"] == "close"
    assert stored(app) == {}


async def test_an_upload_that_a_server_which_stops_gives_up_is_answered(app: RunningApp) -> None:
    _, ada = await app.user()
    waits = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield GOOD[:80]
        waits.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(app.http.post("/files/upload", content=body(), headers={**ada, **HEADERS}))
    await waits.wait()
    sending.cancel()
    response = await sending
    assert outcome(response) == (503, "unavailable")
    assert response.headers["Retry-After"]
    assert stored(app) == {}


async def test_an_upload_that_takes_half_a_day_is_ended(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoints.http.bodies.LONGEST_SECONDS", 0.1)
    _, ada = await app.user()

    async def body() -> AsyncIterator[bytes]:
        yield GOOD[:80]
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    response = await app.http.post("/files/upload", content=body(), headers={**ada, **HEADERS})
    assert outcome(response) == (408, "request_timeout")
    assert stored(app) == {}
