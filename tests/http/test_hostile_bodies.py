"""Bodies and queries that should not be: each gets a clear 4xx, echoes nothing and leaves the database as it was."""

import asyncio
import gzip
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any, Final

import pytest
from pydantic import ValidationError

from entrypoints.http.users import Registration
from tests.deployments import LAPTOP, Deployment, on
from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.running_app import PASSWORD, RunningApp

JSON: Final = {"Content-Type": "application/json"}
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART: Final = {"Content-Type": "multipart/form-data; boundary=x"}
SECRET: Final = "tell-nobody"


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do, but for what gets as far as its database."""
    return LAPTOP


@pytest.fixture
async def app(start_app: StartApp) -> RunningApp:
    """Without a worker, which writes its schedules down when it starts."""
    return await start_app(with_worker=False)


def rows(app: RunningApp) -> dict[str, int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(app.data / "portico.db")) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables}


def registration(**changes: Any) -> bytes:
    return json.dumps({"email": "ada@example.org", "password": PASSWORD, **changes}).encode()


MALFORMED: Final[dict[str, bytes]] = {
    "cut off": registration()[:-1],
    "two values": registration() + b"{}",
    "a trailing comma": registration()[:-1] + b",}",
    "a comment": b"/* tell-nobody */" + registration(),
    "single quotes": b"{'email': 'tell-nobody'}",
    "Infinity": b'{"email": -Infinity}',
    "a repeated key within": b'{"email": {"a": 1, "a": "tell-nobody"}}',
    "a key repeated in another spelling": rb'{"email": "tell-nobody", "\u0065mail": "b@example.org"}',
    "a raw control character": b'{"email": "tell\n-nobody"}',
    "a raw lone surrogate": b'{"email": "tell-nobody\xed\xa0\x80"}',
    "latin-1": '{"email": "tell-nobody-é"}'.encode("latin-1"),
    "utf-16": '{"email": "tell-nobody"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + registration(),
    "gzip that says it is JSON": gzip.compress(registration()),
    "a number that never ends": b'{"email": ' + b"1" * 5000 + b"}",
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_what_is_no_json_changes_nothing_and_is_not_echoed(app: RunningApp, kind: str) -> None:
    before = rows(app)

    response = await app.http.post("/users/", content=MALFORMED[kind], headers=JSON)

    assert outcome(response) == (400, "malformed_body")
    assert SECRET not in response.text
    assert rows(app) == before


FORMS: Final[dict[str, tuple[dict[str, str], bytes]]] = {
    "a repeated field": (FORM, b"username=tell-nobody&username=b&password=c"),
    "more fields than there are": (FORM, b"&".join(b"f%d=tell-nobody" % number for number in range(1000))),
    "no boundary": ({"Content-Type": "multipart/form-data"}, b"tell-nobody"),
    "another boundary": (MULTIPART, b"--y\r\ntell-nobody\r\n--y--\r\n"),
    "a file": (
        MULTIPART,
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="tell-nobody"\r\n\r\n\r\n--x--\r\n',
    ),
    "a part without a name": (MULTIPART, b"--x\r\nContent-Disposition: form-data\r\n\r\ntell-nobody\r\n--x--\r\n"),
}


@pytest.mark.parametrize("kind", FORMS)
async def test_a_form_that_can_not_be_read_is_malformed(app: RunningApp, kind: str) -> None:
    headers, body = FORMS[kind]

    response = await app.http.post("/auth/login", content=body, headers=headers)

    assert outcome(response) == (400, "malformed_body")
    assert SECRET not in response.text


async def test_a_form_has_the_same_bounds_and_rules_as_json(app: RunningApp) -> None:
    for form, status, code in (
        ({"username": "ada\0", "password": "x"}, 422, "validation_error"),
        ({"username": "ada", "password": "x", "grant_type": "client_credentials"}, 422, "validation_error"),
        ({"username": "ada", "password": "x", "otp": SECRET}, 422, "validation_error"),
        ({"username": "ada"}, 422, "validation_error"),
        ({"username": "ada", "password": "x" * 1024 * 1024}, 413, "body_too_large"),
    ):
        response = await app.http.post("/auth/login", data=form)

        assert outcome(response) == (status, code), form.keys()
        assert SECRET not in response.text


@on()
async def test_the_largest_body_is_still_read_and_one_byte_more_is_not(app: RunningApp) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        body = registration().ljust(size)
        for start in range(0, size, 100_000):
            yield body[start : start + 100_000]

    limit = app.settings.max_json_bytes
    over = await app.http.post("/users/", content=chunks(limit + 1), headers=JSON)
    exact = await app.http.post("/users/", content=chunks(limit), headers=JSON)

    assert outcome(over) == (413, "body_too_large")
    assert exact.status_code == 201


KINDS: Final = [("/users/", JSON), ("/auth/login", JSON), ("/auth/login", FORM)]


@pytest.mark.parametrize(("path", "headers"), KINDS)
async def test_a_client_that_sends_nothing_any_more_is_not_waited_for(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str]
) -> None:
    monkeypatch.setattr("entrypoints.http.bodies.IDLE_SECONDS", 0.05)

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        response = await app.http.post(path, content=body(), headers=headers)

    assert outcome(response) == (408, "request_timeout")
    assert response.json()["message"] == "No data came for 0.05 seconds"
    assert response.headers["Connection"] == "close"


async def test_a_body_that_comes_byte_by_byte_ends_all_the_same(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrypoints.http.bodies.SHORT_SECONDS", 0.1)

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async with asyncio.timeout(60):
        response = await app.http.post("/users/", content=body(), headers=JSON)

    assert outcome(response) == (408, "request_timeout")
    assert response.json()["message"] == "The body took longer than 0.1 seconds"


async def test_many_mistakes_at_once_get_a_short_answer(app: RunningApp) -> None:
    body = registration(**{f"{number}-{SECRET}-" + "x" * 200: 1 for number in range(2000)})

    response = await app.http.post("/users/", content=body, headers=JSON)

    assert outcome(response) == (422, "validation_error")
    assert len(response.json()["errors"]) == 100
    assert len(response.content) < 30_000


def test_no_more_mistakes_are_looked_for_than_are_listed() -> None:
    flood = {f"unknown{number}": 1 for number in range(5000)}
    for given, missing in (({"password": PASSWORD}, ["email"]), ({"email": "ada@example.org"}, ["password"])):
        with pytest.raises(ValidationError) as refused:
            Registration.model_validate({**flood, **given})

        named = [error["loc"][0] for error in refused.value.errors()]
        assert named == [*missing, *(f"unknown{number}" for number in range(100))]


async def test_an_unknown_field_is_named_whatever_its_name_is(app: RunningApp) -> None:
    before = rows(app)
    for name in ("is_superuser", "Email", "e-mail", "__proto__", "\r\nSet-Cookie: a=b", "\0", "💥" * 500):
        response = await app.http.post("/users/", content=registration(**{name: SECRET}), headers=JSON)

        assert outcome(response) == (422, "validation_error")
        (error,) = response.json()["errors"]
        assert error["field"] == f"body.{name}"[:100]
        assert error["type"] == "extra_forbidden"
        assert SECRET not in response.text
        assert "Set-Cookie" not in response.headers
    assert rows(app) == before


@pytest.mark.parametrize("value", [None, True, 7, 7.5, [], ["ada@example.org"], {}, {"a": 1}])
@pytest.mark.parametrize("field", ["email", "password"])
async def test_another_type_is_never_taken_for_text(app: RunningApp, field: str, value: Any) -> None:
    response = await app.http.post("/users/", content=registration(**{field: value}), headers=JSON)

    assert outcome(response) == (422, "validation_error")
    assert [error["field"] for error in response.json()["errors"]] == [f"body.{field}"]


@on()
async def test_a_query_is_as_strict_as_a_body(app: RunningApp) -> None:
    _, root = await app.superuser()
    for query, field in (
        ("q=%00", "q"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1e1", "limit"),
        ("skip=-1", "skip"),
        ("skip=9223372036854775808", "skip"),
        ("is_active=perhaps", "is_active"),
        (f"cursor={SECRET}", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=" + "a" * 5000, "cursor"),
        ("q=" + "a" * 201, "q"),
    ):
        response = await app.http.get(f"/users/?{query}", headers=root)

        assert outcome(response) == (422, "validation_error"), query[:40]
        assert [error["field"] for error in response.json()["errors"]] == [f"query.{field}"]
        assert SECRET not in response.text
    for query in ("q=%ff%fe", "q=%ed%a0%80", "q=%25_%5C'%22;--"):
        assert (await app.http.get(f"/users/?{query}", headers=root)).json()["total"] == 0


@on()
async def test_an_id_is_a_plain_number_or_nothing(app: RunningApp) -> None:
    _, root = await app.superuser()
    for text in (
        "0",
        "-1",
        "01",
        "+1",
        "1e0",
        "1_0",
        " 1",
        "1%20",
        "%D9%A1",
        "0x1",
        "9" * 400,
        "1%00",
        "null",
        "%F0%9F%92%A9",
    ):
        response = await app.http.get(f"/users/{text}", headers=root)

        assert outcome(response) == (422, "validation_error"), text
        assert [error["field"] for error in response.json()["errors"]] == ["path.user_id"]
    assert outcome(await app.http.get("/users/9223372036854775807", headers=root)) == (404, "user_not_found")
