"""An error is the same thing whoever raised it, in whichever form it is asked for, and from wherever."""

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import httpx2
import pytest
import structlog.testing

from tests.deployments import LAPTOP, Deployment, on
from tests.http.conftest import StartApp
from tests.running_app import PASSWORD, RunningApp

ORIGIN: Final = "http://localhost:3000"
JSON: Final = {"Content-Type": "application/json"}
ADA: Final = {"email": "ada@example.org", "password": PASSWORD}

Call = Callable[[httpx2.AsyncClient, dict[str, str]], Awaitable[httpx2.Response]]


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do, but for what comes out of a database."""
    return LAPTOP


@pytest.fixture
async def troubled(start_app: StartApp) -> AsyncIterator[RunningApp]:
    """An app whose database takes no users and has no place for jobs, and which limits attempts to sign in."""
    app = await start_app(rate_limits_enabled=True, with_worker=False)
    with closing(sqlite3.connect(app.data / "portico.db")) as database:
        refusal = "SELECT RAISE(ABORT, 'SELECT secret FROM users')"
        database.execute(f"CREATE TRIGGER broken BEFORE INSERT ON users BEGIN {refusal}; END")
        database.execute("DROP TABLE jobs")
    with structlog.testing.capture_logs():
        yield app


async def signing_in_too_often(http: httpx2.AsyncClient, headers: dict[str, str]) -> httpx2.Response:
    for _ in range(11):
        response = await http.post("/auth/login", json={"email": "a@example.org", "password": "x"}, headers=headers)
    return response


CALLS: Final[dict[tuple[int, str], Call]] = {
    (400, "malformed_body"): lambda http, h: http.post("/users/", content=b"{", headers=h | JSON),
    (401, "not_authenticated"): lambda http, h: http.get("/users/me", headers=h),
    (401, "invalid_token"): lambda http, h: http.get("/users/me", headers=h | {"Authorization": "Bearer x"}),
    (401, "invalid_credentials"): lambda http, h: http.post("/auth/login", json=ADA, headers=h),
    (404, "not_found"): lambda http, h: http.get("/nothing?secret", headers=h),
    (405, "method_not_allowed"): lambda http, h: http.put("/users/me?secret", headers=h),
    (413, "body_too_large"): lambda http, h: http.post("/users/", content=b" " * 1_048_577, headers=h | JSON),
    (415, "unsupported_media_type"): lambda http, h: http.post("/users/", content=b"secret", headers=h),
    (422, "validation_error"): lambda http, h: http.post("/users/", json={"secret": "secret"}, headers=h),
    (429, "too_many_attempts"): signing_in_too_often,
    (431, "headers_too_large"): lambda http, h: http.get("/users/me", headers=h | {"X-Padding": "x" * 40_000}),
    (500, "internal_error"): lambda http, h: http.post("/users/", json=ADA, headers=h),
    (503, "unavailable"): lambda http, h: http.post("/auth/password/forgot", json={"email": ADA["email"]}, headers=h),
}


@pytest.mark.parametrize(("status", "code"), CALLS)
async def test_each_error_has_the_one_body_and_all_the_headers(troubled: RunningApp, status: int, code: str) -> None:
    response = await CALLS[status, code](troubled.http, {"Origin": ORIGIN, "X-Request-ID": "mine"})

    body = response.json()
    assert (response.status_code, body["code"], body["success"]) == (status, code, False)
    assert body.keys() - {"errors"} == {"success", "message", "code", "path", "request_id"}
    assert ("errors" in body) == (status == 422)
    assert response.content == json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    assert body["path"] == response.request.url.path
    assert body["request_id"] == response.headers["X-Request-ID"] == "mine"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == ("private, no-cache" if status == 404 else "no-store")
    assert float(response.headers["X-Process-Time"]) == pytest.approx(
        float(response.headers["X-Response-Time"]) * 1000, abs=0.02
    )
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "X-Request-ID" in response.headers["Access-Control-Expose-Headers"]
    assert ("Retry-After" in response.headers) == (status in (429, 503))
    assert ("WWW-Authenticate" in response.headers) == (code in ("not_authenticated", "invalid_token"))
    assert "SELECT" not in response.text
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    ("accept", "is_problem"),
    [
        ("application/json, application/problem+json;q=0.1", True),
        ("Application/Problem+JSON ; Q=1.0", True),
        ("application/problem+json;q=0", False),
        ("application/json, application/problem+json; q=0.000", False),
        ("application/problem+json-patch", False),
    ],
)
async def test_a_problem_is_for_those_who_want_one(app: RunningApp, accept: str, is_problem: bool) -> None:
    response = await app.http.get("/nothing", headers={"Accept": accept})

    assert ("detail" in response.json()) == is_problem


@pytest.mark.parametrize(("status", "code"), CALLS)
async def test_each_error_is_a_problem_for_those_who_ask_for_one(troubled: RunningApp, status: int, code: str) -> None:
    response = await CALLS[status, code](troubled.http, {"Accept": "application/problem+json"})

    body = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert body.keys() - {"errors"} == {"type", "title", "status", "detail", "instance", "code", "request_id"}
    assert (body["type"], body["title"]) == ("about:blank", HTTPStatus(status).phrase)
    assert body["instance"] == response.request.url.path
    assert ("Retry-After" in response.headers) == (status in (429, 503))


async def test_405_names_every_method_of_the_path(app: RunningApp) -> None:
    for path, allowed in (
        ("/users/me", {"GET", "PATCH", "DELETE"}),
        ("/users/7", {"GET", "PATCH", "DELETE"}),
        ("/users/", {"GET", "POST"}),
        ("/users", {"GET", "POST"}),
        ("/auth/login", {"POST"}),
    ):
        response = await app.http.request("TRACE", path)

        assert response.status_code == 405
        assert {method.strip() for method in response.headers["Allow"].split(",")} - {"HEAD"} == allowed, path


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://LOCALHOST:3001", "http://localhost:3000/"])
async def test_an_error_tells_other_origins_nothing(troubled: RunningApp, origin: str) -> None:
    for call in (CALLS[401, "not_authenticated"], CALLS[500, "internal_error"]):
        response = await call(troubled.http, {"Origin": origin})

        assert not [name for name in response.headers if name.lower().startswith("access-control")]


@on()
async def test_times_are_in_utc_and_end_in_z(app: RunningApp) -> None:
    user = await app.register(**{"address": ADA["email"]})

    for name in ("created_at", "updated_at"):
        assert user[name].endswith("Z")
        assert datetime.fromisoformat(user[name]).utcoffset() == timedelta()


@on()
async def test_text_comes_back_as_it_was_sent_in_utf_8(app: RunningApp) -> None:
    name = "Zoë 渚 \U0001f9ff \u202eevil"
    user = await app.register(full_name=name)
    response = await app.http.post("/auth/login", json={"email": user["email"], "password": PASSWORD})
    me = await app.http.get("/users/me", headers={"Authorization": f"Bearer {response.json()['access_token']}"})

    assert me.json()["full_name"] == name
    assert name in me.content.decode("utf-8")
