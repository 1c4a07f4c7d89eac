"""What holds for every call of the API."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
import structlog.testing

from tests.deployments import LAPTOP, Deployment
from tests.running_app import PASSWORD, RunningApp

ADA = {"email": "ada@example.org", "password": PASSWORD}


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do: nothing here depends on which."""
    return LAPTOP


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/users/me", 405, "method_not_allowed"),
        ("GET", "/users/me", 401, "not_authenticated"),
        ("GET", "/users/0", 422, "validation_error"),
        ("GET", "/users/9223372036854775808", 422, "validation_error"),
        ("GET", "/users/1.0", 422, "validation_error"),
    ],
)
async def test_every_error_has_the_one_body(app: RunningApp, method: str, path: str, status: int, code: str) -> None:
    signed_in = {} if status == 401 else (await app.superuser())[1]

    response = await app.http.request(method, f"{path}?secret=1", headers={"X-Request-ID": "mine.1", **signed_in})

    body = response.json()
    assert (response.status_code, body["code"], body["success"]) == (status, code, False)
    assert body["path"] == f"/api/v1{path}"
    assert body["request_id"] == response.headers["X-Request-ID"] == "mine.1"
    assert "secret" not in response.text
    assert ("errors" in body) == (status == 422)


async def test_a_client_that_asks_for_problem_details_gets_rfc_9457(app: RunningApp) -> None:
    response = await app.http.post("/users/", json={}, headers={"Accept": "application/problem+json"})

    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["instance"]) == (422, "/api/v1/users/")
    assert body["title"] in {"Unprocessable Content", "Unprocessable Entity"}  # as this Python calls it
    assert {"type", "detail", "code", "errors", "request_id"} <= body.keys()


async def test_a_collection_answers_with_and_without_its_slash(app: RunningApp) -> None:
    _, root = await app.superuser()

    with_slash = await app.http.get("/users/", headers=root)
    without = await app.http.get("/users", headers=root)

    assert without.status_code == 200
    assert without.json() == with_slash.json()
    assert (await app.http.post("/users", json=ADA)).status_code == 201


@pytest.mark.parametrize("path", ["/users/me", "/auth/login", "/nothing", "/openapi.json"])
async def test_every_answer_carries_id_times_and_protection(app: RunningApp, path: str) -> None:
    response = await app.http.get(path, headers={"X-Request-ID": "not valid!"})

    assert len(response.headers["X-Request-ID"]) == 32
    assert float(response.headers["X-Process-Time"]) >= 0
    assert float(response.headers["X-Response-Time"]) >= 0
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    private = path.startswith(("/users", "/auth"))
    assert response.headers["Cache-Control"] == ("no-store" if private else "private, no-cache")


async def test_an_allowed_origin_may_send_credentials_and_read_our_headers(app: RunningApp) -> None:
    origin = "http://localhost:3000"
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }

    preflight = await app.http.options("/users/me", headers=asks)
    simple = await app.http.get("/users/me", headers={"Origin": origin})

    assert preflight.status_code == 200
    for response in (preflight, simple):
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert {"X-Request-ID", "ETag", "Location", "Retry-After"} <= set(
        simple.headers["Access-Control-Expose-Headers"].split(", ")
    )


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://localhost:3000.evil.example"])
async def test_any_other_origin_gets_no_cors_header(app: RunningApp, origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "GET"}

    for response in (await app.http.options("/users/me", headers=asks), await app.http.get("/users/me", headers=asks)):
        assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_an_unexpected_failure_is_a_500_that_tells_nothing(start_app: Any, capfd: Any) -> None:
    app = await start_app()
    with closing(sqlite3.connect(app.data / "portico.db")) as database:
        database.execute("CREATE TRIGGER broken BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'secret detail'); END")

    with structlog.testing.capture_logs():
        response = await app.http.post("/users/", json=ADA)

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "secret detail" not in response.text
    assert response.headers["X-Request-ID"] == response.json()["request_id"]


async def test_the_parts_tell_whether_they_are_ready(app: RunningApp) -> None:
    live = await app.at_root.get("/health/live")
    ready = await app.at_root.get("/health/ready")

    assert (live.status_code, ready.status_code) == (200, 200)
    assert ready.json() == {"status": "ready", "checks": {"database": "ok", "storage": "ok", "jobs": "ok"}}


async def test_metrics_count_by_route_and_never_by_path(app: RunningApp) -> None:
    _, root = await app.superuser()
    await app.http.get("/users/777", headers=root)
    await app.http.get("/nothing/else")

    text = (await app.at_root.get("/metrics")).text

    assert 'portico_http_requests_total{method="GET",route="/api/v1/users/{user_id}",status="404"} 1.0' in text
    assert 'route="unmatched",status="404"' in text
    assert "/users/777" not in text
    assert '777"' not in text
    for name in (
        "portico_http_request_duration_seconds_bucket",
        "portico_http_requests_in_flight",
        "portico_job_queue_depth",
        "portico_job_queue_age_seconds",
        "portico_jobs_dead",
        "portico_websocket_connections",
        'portico_database_connections{state="idle"}',
    ):
        assert name in text


async def test_each_operation_says_what_it_does_and_every_error_it_can_answer(app: RunningApp) -> None:
    document = (await app.http.get("/openapi.json")).json()

    assert {"title", "version", "contact", "license"} <= document["info"].keys()
    flow = document["components"]["securitySchemes"]["bearer"]["flows"]["password"]
    assert flow["tokenUrl"] == "/api/v1/auth/login"
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            assert operation["summary"], (method, path)
            assert described[operation["tags"][0]]
            if "security" in operation:
                codes = operation["responses"]["401"]["content"]["application/json"]["examples"]
                assert {"not_authenticated", "invalid_token"} <= codes.keys()
    assert len(ids) == len(set(ids))
    assert all(name.isidentifier() for name in ids)


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_documentation_loads_nothing_from_elsewhere(app: RunningApp, page: str) -> None:
    response = await app.at_root.get(page)

    assert response.status_code == 200
    assert "cdn." not in response.text
    assert 'src="http' not in response.text
    assert 'href="http' not in response.text
