"""Signing in."""

import base64
import json
from datetime import timedelta
from typing import Any

from tests.fakes import SettableClock
from tests.http.answers import outcome, without_request_id
from tests.http.conftest import StartApp
from tests.running_app import PASSWORD, RunningApp, bearer

ADA = "ada@example.org"
WRONG = "Wrong-Horse-42"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def sessions_of(app: RunningApp, address: str) -> int:
    """How many sessions this account has, but for the one that looks."""
    headers = bearer(await app.sign_in(address))
    count = len((await app.http.get("/auth/sessions", headers=headers)).json()["items"]) - 1
    await app.http.post("/auth/logout", headers=headers)
    return count


async def test_signs_in_with_the_oauth2_form_and_with_json(app: RunningApp) -> None:
    await app.register(ADA)
    full_form = {"grant_type": "password", "username": ADA, "password": PASSWORD, "scope": "", "client_id": "docs"}

    responses = [
        await app.http.post("/auth/login", data={"username": ADA, "password": PASSWORD}),
        await app.http.post("/auth/login", data=full_form),
        await app.http.post("/auth/login", files={"username": (None, ADA), "password": (None, PASSWORD)}),
        await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD}),
    ]

    for response in responses:
        pair = response.json()
        assert response.status_code == 200
        assert pair.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
        assert (pair["token_type"], pair["expires_in"]) == ("bearer", 1800)
        assert response.headers["Cache-Control"] == "no-store"
        assert (await app.http.get("/users/me", headers=bearer(pair))).json()["email"] == ADA
    assert len({response.json()["refresh_token"] for response in responses}) == 4


async def test_signs_in_with_any_spelling_of_the_address(app: RunningApp) -> None:
    await app.register("Rene\u0301@bücher.example")

    for address in ("ren\u00e9@bücher.example", "REN\u00c9@BÜCHER.example", "rene\u0301@xn--bcher-kva.example"):
        await app.sign_in(address)


async def test_an_access_token_says_who_for_whom_and_how_long(start_app: StartApp) -> None:
    app = await start_app(access_token_expire_minutes=7, public_url="https://portico.example")
    user = await app.register(ADA)
    pair = await app.sign_in(ADA)
    parts = pair["access_token"].split(".")

    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2])

    assert (header["typ"], header["alg"]) == ("at+jwt", "HS256")
    assert claims.keys() == {"iss", "aud", "sub", "sid", "jti", "iat", "exp"}
    assert (claims["iss"], claims["sub"]) == ("https://portico.example", str(user["id"]))
    assert claims["exp"] - claims["iat"] == pair["expires_in"] == 420
    [session] = (await app.http.get("/auth/sessions", headers=bearer(pair))).json()["items"]
    assert claims["sid"] == session["id"]


async def test_an_access_token_holds_for_as_long_as_it_says(app_with_clock: RunningApp, clock: SettableClock) -> None:
    app = app_with_clock
    _, ada = await app.user(ADA)

    clock.advance(timedelta(minutes=29))
    before = await app.http.get("/users/me", headers=ada)
    clock.advance(timedelta(minutes=1, seconds=1))
    after = await app.http.get("/users/me", headers=ada)

    assert before.status_code == 200
    assert outcome(after) == (401, "invalid_token")


async def test_a_wrong_address_and_a_wrong_password_get_the_same_answer(app: RunningApp) -> None:
    await app.register(ADA)
    tries: list[dict[str, Any]] = [
        {"json": {"email": ADA, "password": WRONG}},
        {"json": {"email": "no@example.org", "password": PASSWORD}},
        {"json": {"email": "no address", "password": PASSWORD}},
        {"json": {"email": ADA, "password": ""}},
        {"data": {"username": ADA, "password": WRONG}},
        {"data": {"username": "no@example.org", "password": WRONG}},
    ]

    responses = [await app.http.post("/auth/login", **credentials) for credentials in tries]

    assert {outcome(response) for response in responses} == {(401, "invalid_credentials")}
    assert len({json.dumps(without_request_id(response)) for response in responses}) == 1
    assert len({frozenset(response.headers) for response in responses}) == 1
    assert await sessions_of(app, ADA) == 0


async def test_only_who_knows_the_password_learns_that_an_account_is_deactivated(app: RunningApp) -> None:
    _, root = await app.superuser()
    user = await app.register(ADA)
    await app.http.patch(f"/users/{user['id']}", json={"is_active": False}, headers=root)

    right = await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD})
    wrong = await app.http.post("/auth/login", json={"email": ADA, "password": WRONG})

    assert outcome(right) == (403, "inactive_user")
    assert outcome(wrong) == (401, "invalid_credentials")
    await app.http.patch(f"/users/{user['id']}", json={"is_active": True}, headers=root)
    assert await sessions_of(app, ADA) == 0


async def test_credentials_that_cannot_be_read_are_refused(app: RunningApp) -> None:
    await app.register(ADA)
    tries: list[tuple[dict[str, Any], int, str]] = [
        ({}, 422, "validation_error"),
        ({"json": {"email": ADA}}, 422, "validation_error"),
        ({"json": {"username": ADA, "password": PASSWORD}}, 422, "validation_error"),
        ({"json": {"email": ADA, "password": 42}}, 422, "validation_error"),
        ({"json": {"email": ADA, "password": PASSWORD, "otp": "1"}}, 422, "validation_error"),
        ({"data": {"username": ADA}}, 422, "validation_error"),
        ({"data": {"email": ADA, "password": PASSWORD}}, 422, "validation_error"),
        ({"data": {"username": ADA, "password": PASSWORD, "grant_type": "implicit"}}, 422, "validation_error"),
        ({"content": f"username={ADA}&username={ADA}&password={PASSWORD}", "headers": FORM}, 400, "malformed_body"),
        ({"content": "{", "headers": {"Content-Type": "application/json"}}, 400, "malformed_body"),
        ({"content": "x", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
    ]

    for request, status, code in tries:
        response = await app.http.post("/auth/login", **request)
        assert outcome(response) == (status, code), request
        assert PASSWORD not in response.text

    assert await sessions_of(app, ADA) == 0
