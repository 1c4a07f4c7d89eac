"""HEAD on whatever answers GET."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog.testing
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from entrypoints.http.head import HeadAsGet
from tests.deployments import LAPTOP, Deployment, on
from tests.faults.processes import serving
from tests.http.uploading import upload
from tests.running_app import RunningApp

CHANGING = {"x-request-id", "x-process-time", "x-response-time"}


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do, but for what is asked of all of them."""
    return LAPTOP


def headers_of(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name not in CHANGING}


@on()
async def test_every_call_that_answers_get_answers_head_with_the_same_head_and_no_body(app: RunningApp) -> None:
    user, root = await app.superuser()
    item = (await app.http.post("/items/", json={"title": "Buy milk"}, headers=root)).json()
    file = await upload(app, root)
    known = {"user_id": user["id"], "item_id": item["id"], "file_id": file["id"], "filename": "tea.txt", "task_id": "x"}
    paths = (await app.http.get("/openapi.json")).json()["paths"]
    gets = [path for path, operations in paths.items() if "get" in operations and path != "/metrics"]
    pages = ["/verify-email?token=x", "/reset-password", "/change-email", "/docs", "/redoc", "/api/v1/openapi.json"]
    assert len(gets) > 8
    for path in [*gets, *pages, "/api/v1/users", "/nothing"]:
        url = path.format(**known)
        got = await app.at_root.get(url, headers=root)
        head = await app.at_root.head(url, headers=root)

        assert (head.status_code, headers_of(head), head.content) == (got.status_code, headers_of(got), b""), url
        assert int(head.headers["Content-Length"]) == len(got.content)


async def test_where_there_is_no_get_there_is_no_head(app: RunningApp) -> None:
    response = await app.http.head("/auth/login")

    assert (response.status_code, response.headers["Allow"], response.content) == (405, "POST", b"")


async def test_it_is_logged_and_counted_as_what_it_is(app: RunningApp) -> None:
    user, ada = await app.user()
    with structlog.testing.capture_logs() as lines:
        await app.http.head(f"/users/{user['id']}", headers=ada)

    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["method"], line["route"], line["user_id"]) == ("HEAD", "/api/v1/users/{user_id}", user["id"])
    metrics = (await app.at_root.get("/metrics")).text
    assert 'portico_http_requests_total{method="HEAD",route="/api/v1/users/{user_id}",status="200"} 1.0' in metrics


async def test_a_preflight_that_asks_for_it_is_answered(app: RunningApp) -> None:
    origin = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "HEAD"}

    response = await app.http.options("/users/me", headers=origin)

    assert response.status_code == 200
    assert "HEAD" in response.headers["Access-Control-Allow-Methods"]


async def test_of_a_stream_hardly_anything_is_made() -> None:
    made, ended = [], []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            for number in range(1000):
                made.append(number)
                yield b"x" * 1000
        finally:
            ended.append(True)

    async def stream(_: Any) -> StreamingResponse:
        return StreamingResponse(pieces(), headers={"Content-Length": "1000000"})

    app = HeadAsGet(Starlette(routes=[Route("/", stream)]))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://a") as client:
        response = await client.head("/")
        whole = await client.get("/")

    assert (response.status_code, response.headers["Content-Length"], response.content) == (200, "1000000", b"")
    assert len(whole.content) == 1_000_000
    assert made == [0, *range(1000)]


async def test_a_connection_serves_on_after_it(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", MAIL_BACKEND="file") as process, process.client() as client:
        for method in ("HEAD", "GET", "HEAD"):
            response = await client.request(method, f"{process.root}/health/live")

            assert (response.status_code, response.headers["Content-Length"]) == (200, "18")
            assert response.content == (b'{"status":"alive"}' if method == "GET" else b"")
    assert "Traceback" not in process.errors
