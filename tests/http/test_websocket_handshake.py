"""Who gets a WebSocket, and until when."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from tests.deployments import LAPTOP, Deployment, on
from tests.faults.processes import Process, comes_to, command, figure, serving, sign_in
from tests.http.test_real_server import answer_to
from tests.live import PROTECTED, Account, connected, greeted
from tests.running_app import PASSWORD, bearer

LOBBY = "/ws/1"
OPEN = "portico_websocket_connections"


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do for handshakes; whose session holds is asked of all of them."""
    return LAPTOP


@pytest.fixture
async def portico(tmp_path: Path, deployment_environment: dict[str, str]) -> AsyncIterator[Process]:
    settings = {
        "BACKEND_CORS_ORIGINS": '["https://app.example.com:443"]',
        "PUBLIC_URL": "https://Api.example.com:443/base",
    }
    async with serving(tmp_path / "data", **deployment_environment, LOG_LEVEL="DEBUG", **settings) as process:
        yield process


async def refused(portico: Process, path: str, **options: Any) -> Response:
    """What the handshake is answered by."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connected(portico, path, **options):
            pass
    return refusal.value.response


def assert_is_an_error(response: Response, path: str, code: str) -> None:
    body = json.loads(response.body or b"")
    assert (body["success"], body["code"], body["path"]) == (False, code, path)
    assert body["request_id"] == response.headers["X-Request-ID"]
    for header in ("X-Process-Time", "X-Response-Time", "X-Content-Type-Options", "Referrer-Policy"):
        assert header in response.headers


async def test_the_token_comes_in_any_of_three_ways_and_is_never_logged(portico: Process, ada: Account) -> None:
    for path in (PROTECTED, LOBBY):
        async with connected(portico, path, token=ada.token) as client:
            assert client.socket.subprotocol is None
            await client.socket.ping()
        async with connected(portico, f"{path}?token={ada.token}") as client:
            await client.socket.ping()
        async with connected(portico, path, subprotocols=["bearer", ada.token]) as client:
            assert client.socket.subprotocol == "bearer"
            await client.socket.ping()
    assert ada.token not in portico.errors
    assert ada.token.rpartition(".")[2] not in portico.errors


async def test_without_a_token_that_holds_one_is_closed_with_1008(portico: Process, ada: Account) -> None:
    tries: list[dict[str, Any]] = [
        {},
        {"token": "nonsense"},
        {"token": ada.token + "x"},
        {"headers": {"Authorization": "Basic YWRhOmFkYQ=="}},
        {"subprotocols": ["bearer"]},
        {"subprotocols": ["bearer", "nonsense"]},
        {"path": f"{PROTECTED}?token="},
        {"path": f"{PROTECTED}?token={ada.token}", "token": ada.token},
        {"path": LOBBY},
        {"path": f"{PROTECTED}?token={ada.token}{'&a=1' * 1000}"},
    ]
    for options in tries:
        async with connected(portico, **options) as client:
            assert await client.ends() == 1008, options


async def test_pages_of_other_origins_are_refused_before_the_handshake(portico: Process, ada: Account) -> None:
    for origin in ("https://app.example.com", "https://api.example.com"):
        async with connected(portico, token=ada.token, headers={"Origin": origin}) as client:
            await client.next()
    for origin in ("null", "https://evil.example", "http://app.example.com", "https://app.example.com.evil.example"):
        for path in (PROTECTED, LOBBY):
            response = await refused(portico, path, token=ada.token, headers={"Origin": origin})
            assert response.status_code == 403
            assert_is_an_error(response, path, "origin_not_allowed")


async def test_nothing_else_is_a_websocket(portico: Process, ada: Account) -> None:
    for path in ("/ws", "/ws/1/2", "/api/v1/items/", "/health/live"):
        response = await refused(portico, path, token=ada.token)
        assert response.status_code == 404
        assert_is_an_error(response, path, "not_found")
    async with portico.client() as client:
        assert (await client.get(f"{portico.root}{PROTECTED}")).status_code == 404


async def test_a_broken_handshake_gets_the_same_error_body_as_all_else(portico: Process, ada: Account) -> None:
    version, key = "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    for method, headers, expected in (
        ("GET", (version,), (400, "bad_request")),
        ("GET", (version, "Sec-WebSocket-Key: secret"), (400, "bad_request")),
        ("GET", ("Sec-WebSocket-Version: secret", key), (400, "bad_request")),
        ("POST", (version, key), (405, "method_not_allowed")),
    ):
        lines = (f"{method} {PROTECTED} HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: Upgrade", *headers)
        status, answered, body = await answer_to(portico, "\r\n".join([*lines, "", ""]).encode())

        assert (status, body["code"]) == expected
        assert body["request_id"] == answered["X-Request-ID"]
        assert body.keys() == {"success", "message", "code", "path", "request_id"}
        assert "secret" not in str(body)


@on()
async def test_one_who_is_signed_out_is_closed(portico: Process, http: httpx2.AsyncClient, ada: Account) -> None:
    other = Account(ada.user, (await sign_in(http, ada.user["email"])).json())
    async with (
        greeted(portico, ada) as client,
        greeted(portico, other) as stays,
        connected(portico, LOBBY, token=ada.token) as lobby,
    ):
        await http.post("/auth/logout", headers=ada.headers)
        assert [await client.ends(), await lobby.ends()] == [1008, 1008]
        assert await stays.is_quiet()


@on()
async def test_one_whose_account_is_gone_is_closed(portico: Process, http: httpx2.AsyncClient, ada: Account) -> None:
    async with greeted(portico, ada) as client:
        await http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=ada.headers)
        assert await client.ends() == 1008


@on()
async def test_one_who_is_deactivated_is_closed(
    portico: Process,
    http: httpx2.AsyncClient,
    ada: Account,
    deployment_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    creating = ("create-superuser", "--email", "root@example.org", "--password-stdin")
    await command(tmp_path / "data", *creating, stdin=PASSWORD, **deployment_environment)
    root = bearer((await sign_in(http, "root@example.org")).json())
    async with greeted(portico, ada) as client:
        await http.patch(f"/users/{ada.user['id']}", json={"is_active": False}, headers=root)
        assert await client.ends() == 1008
    async with connected(portico, token=ada.token) as client:
        assert await client.ends() == 1008


async def test_open_connections_are_counted_and_each_end_has_a_line(portico: Process, ada: Account) -> None:
    async with greeted(portico, ada), connected(portico, LOBBY, token=ada.token):
        await comes_to(portico, OPEN, 2)
    await comes_to(portico, OPEN, 0)
    assert await figure(portico, OPEN) == 0
    assert portico.errors.count('"event": "websocket"') == 2
