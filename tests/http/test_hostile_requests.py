"""What bad input gets: a clear 4xx, nothing changed, nothing echoed."""

import base64
import gzip
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.deployments import LAPTOP, Deployment, on
from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.running_app import PASSWORD, RunningApp, bearer

JSON = {"Content-Type": "application/json"}
SECRET = "a" * 40


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do, but for what gets as far as its database or its throttles."""
    return LAPTOP


@pytest.fixture
def deployment_settings(deployment_settings: dict[str, Any]) -> dict[str, Any]:
    return {**deployment_settings, "secret_key": SECRET}


def nested(levels: int) -> bytes:
    return b'{"email":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_body"),
        (b'{"email": NaN}', 400, "malformed_body"),
        (b'{"email": "a@example.org", "email": "b@example.org"}', 400, "malformed_body"),
        (b"\xff\xfe", 400, "malformed_body"),
        (nested(65), 400, "malformed_body"),
        (b"[" * 100_000, 400, "malformed_body"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "malformed_body"),
        (nested(64), 422, "validation_error"),
        (b"", 422, "validation_error"),
        (b"[]", 422, "validation_error"),
        (b"null", 422, "validation_error"),
        (b'{"email": ' + b"9" * 4000 + b"}", 422, "validation_error"),
        (b" " * (1024 * 1024 + 1), 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_not_what_it_should_be(app: RunningApp, body: bytes, status: int, code: str) -> None:
    response = await app.http.post("/users/", content=body, headers=JSON)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "9" * 10 not in response.text


async def test_a_number_of_5000_digits(app: RunningApp) -> None:
    response = await app.http.post("/users/", content=b'{"full_name": ' + b"9" * 5000 + b"}", headers=JSON)

    assert response.status_code in (400, 422)
    assert "9" * 10 not in response.text


async def test_a_body_that_grows_too_large_on_its_way(app: RunningApp) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    response = await app.http.post("/users/", content=chunks(), headers=JSON)

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "second", [("Content-Encoding", "gzip"), ("Content-Type", "text/plain"), ("Content-Type", "application/json")]
)
async def test_a_body_that_is_said_to_be_two_things(app: RunningApp, second: tuple[str, str]) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "identity"), second]

    response = await app.http.post("/users/", content=b"{}", headers=headers)

    assert outcome(response) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
async def test_a_body_of_another_type(app: RunningApp, headers: dict[str, str]) -> None:
    body = json.dumps({"email": "ada@example.org", "password": PASSWORD}).encode()
    content = gzip.compress(body) if "Content-Encoding" in headers else body

    response = await app.http.post("/users/", content=content, headers=headers)

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "change",
    [
        {"email": "ada@example.org\r\nBcc: eve@example.org"},
        {"email": "ada"},
        {"email": "ada@localhost\x00"},
        {"full_name": "Ada\r\nBcc: eve@example.org"},
        {"full_name": "Ada\x00"},
        {"full_name": 7},
        {"password": "Aa1" * 300_000},
        {"password": "Aa1" + "\u0315\u0300" * 80_000},
        {"password": "Correct-Horse-42\x00"},
        {"is_superuser": True},
    ],
)
async def test_a_field_that_breaks_a_rule_changes_nothing_and_is_not_echoed(
    app: RunningApp, change: dict[str, Any]
) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD} | change

    response = await app.http.post("/users/", content=json.dumps(body), headers=JSON)

    assert response.status_code == 422
    assert len(response.text) < 2000
    assert "eve@" not in response.text
    assert PASSWORD not in response.text
    assert (await app.register("ada@example.org"))["is_superuser"] is False


@pytest.mark.parametrize("escaped", [r"\ud800", r"a\udfffb"])
async def test_text_with_lone_surrogates(app: RunningApp, escaped: str) -> None:
    body = f'{{"email": "ada@example.org", "password": "{PASSWORD}", "full_name": "{escaped}"}}'

    response = await app.http.post("/users/", content=body, headers=JSON)

    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "body.full_name")


@on()
@pytest.mark.parametrize(
    "credentials", [{"email": "x" * 500_000, "password": "y"}, {"email": "a", "password": "z" * 900_000}]
)
async def test_overlong_credentials_are_simply_wrong(app: RunningApp, credentials: dict[str, str]) -> None:
    response = await app.http.post("/auth/login", json=credentials)

    assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")


async def test_headers_that_are_too_large(app: RunningApp) -> None:
    response = await app.http.get("/users/me", headers={"X-Padding": "x" * 65_536})

    assert (response.status_code, response.json()["code"]) == (431, "headers_too_large")


async def test_two_authorization_headers_are_believed_neither(app: RunningApp) -> None:
    _, ada = await app.user("ada@example.org")
    header = ("Authorization", ada["Authorization"])

    response = await app.http.get("/users/me", headers=[header, header])

    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload))


def signed(header: dict[str, Any], payload: dict[str, Any], key: bytes) -> str:
    text = f"{encoded(header)}.{encoded(payload)}"
    signature = hmac.digest(key, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


Forge = Callable[[dict[str, Any], dict[str, Any]], str]
FORGERIES: dict[str, Forge] = {
    "alg none": lambda h, p: f"{encoded(h | {'alg': 'none'})}.{encoded(p)}.",
    "another key": lambda h, p: signed(h, p, b"b" * 40),
    "kid of a file": lambda h, p: signed(h | {"kid": "../../../dev/null"}, p, b""),
    "no kid": lambda h, p: signed({k: v for k, v in h.items() if k != "kid"}, p, b"b" * 40),
    "another type": lambda h, p: signed(h | {"typ": "JWT"}, p, SECRET.encode()),
    "foreign issuer": lambda h, p: signed(h, p | {"iss": "https://evil.example"}, SECRET.encode()),
    "foreign audience": lambda h, p: signed(h, p | {"aud": "other"}, SECRET.encode()),
    "no issuer": lambda h, p: signed(h, {k: v for k, v in p.items() if k != "iss"}, SECRET.encode()),
    "no audience": lambda h, p: signed(h, {k: v for k, v in p.items() if k != "aud"}, SECRET.encode()),
    "no expiry": lambda h, p: signed(h, {k: v for k, v in p.items() if k != "exp"}, SECRET.encode()),
    "expired": lambda h, p: signed(h, p | {"exp": int(time.time()) - 1}, SECRET.encode()),
    "another user": lambda h, p: signed(h, p | {"sub": "999"}, SECRET.encode()),
    "another session": lambda h, p: signed(h, p | {"sid": "0" * 32}, SECRET.encode()),
    "endless": lambda h, p: "a" * 20_000,
    "no token": lambda h, p: "..",
}


@on()
@pytest.mark.parametrize("kind", FORGERIES)
async def test_a_token_that_does_not_hold(app: RunningApp, kind: str) -> None:
    _, ada = await app.user("ada@example.org")
    header, payload = parts(ada["Authorization"].removeprefix("Bearer "))
    genuine = signed(header, payload, SECRET.encode())
    assert (await app.http.get("/users/me", headers={"Authorization": f"Bearer {genuine}"})).status_code == 200

    response = await app.http.get("/users/me", headers={"Authorization": f"Bearer {FORGERIES[kind](header, payload)}"})

    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@on()
async def test_a_rotated_key_signs_nobody_out(start_app: StartApp) -> None:
    before = await start_app()
    _, ada = await before.user("ada@example.org")
    after = await start_app(secret_key="n" * 40, secret_key_previous=[SECRET], with_worker=False)
    without = await start_app(secret_key="n" * 40, with_worker=False)

    assert (await after.http.get("/users/me", headers=ada)).status_code == 200
    assert (await without.http.get("/users/me", headers=ada)).status_code == 401
    assert (
        await before.http.get("/users/me", headers=bearer(await after.sign_in("ada@example.org")))
    ).status_code == 401


async def test_a_public_key_is_published_and_is_no_secret_to_sign_with(start_app: StartApp, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "key.pem"
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*pem))
    app = await start_app(algorithm="RS256", jwt_private_key_file=file)
    _, ada = await app.user("ada@example.org")
    header, payload = parts(ada["Authorization"].removeprefix("Bearer "))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    confused = signed(header | {"alg": "HS256"}, payload, public)
    response = await app.http.get("/users/me", headers={"Authorization": f"Bearer {confused}"})
    keys = (await app.at_root.get("/.well-known/jwks.json")).json()["keys"]

    assert response.status_code == 401
    assert (await app.http.get("/users/me", headers=ada)).status_code == 200
    assert [(one["kid"], one["alg"]) for one in keys] == [(header["kid"], "RS256")]
    assert "d" not in keys[0]


async def test_the_length_of_a_text_is_told_in_characters(app: RunningApp) -> None:
    long = await app.http.post("/auth/verify-email", json={"token": "a" * 513})
    empty = await app.http.post("/auth/verify-email", json={"token": ""})

    assert [one["message"] for one in long.json()["errors"]] == ["Text should have at most 512 characters"]
    assert [one["message"] for one in empty.json()["errors"]] == ["Text should have 1 or more characters"]
