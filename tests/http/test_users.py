"""Opening an account, and what one does with one's own."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import SettableClock
from tests.http.answers import outcome, work_done
from tests.http.conftest import StartApp
from tests.running_app import PASSWORD, RunningApp, bearer, run_app, settings_for

ADA = "ada@example.org"
NEW_PASSWORD = "Better-Horse-43"
FIELDS = {
    "id",
    "email",
    "full_name",
    "is_active",
    "is_verified",
    "is_superuser",
    "created_at",
    "updated_at",
    "last_active",
}
FOR_THE_SIGNED_IN = [
    ("GET", "/users/"),
    ("GET", "/users/me"),
    ("PATCH", "/users/me"),
    ("DELETE", "/users/me"),
    ("POST", "/users/me/email"),
    ("GET", "/users/1"),
    ("PATCH", "/users/1"),
    ("DELETE", "/users/1"),
    ("POST", "/users/1/ping"),
    ("POST", "/auth/logout"),
    ("GET", "/auth/sessions"),
    ("DELETE", "/auth/sessions"),
    ("DELETE", "/auth/sessions/x"),
    ("POST", "/auth/password/change"),
]
GONE = (401, "invalid_token")
Headers = dict[str, str]


async def test_registering_gives_the_account_and_where_it_is(app: RunningApp) -> None:
    body = {"email": "Ada@Example.org", "password": PASSWORD, "full_name": "Ada"}

    response = await app.http.post("/users/", json=body)

    user = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/users/{user['id']}"
    assert user.keys() == FIELDS
    assert (user["email"], user["full_name"], user["last_active"]) == ("ada@example.org", "Ada", None)
    assert (user["is_active"], user["is_verified"], user["is_superuser"]) == (True, False, False)
    assert user["created_at"].endswith("Z")
    assert "password" not in response.text
    ada = bearer(await app.sign_in(ADA))
    assert (await app.at_root.get(response.headers["Location"], headers=ada)).json() == user


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ada@example.org", "ADA@Example.ORG"),
        ("a@bücher.de", "a@xn--bcher-kva.de"),
        ("a@xn--bcher-kva.de", "A@BÜCHER.de"),
        ("ren\u00e9@example.org", "rene\u0301@example.org"),
    ],
)
async def test_an_address_in_another_spelling_is_the_same_address(app: RunningApp, first: str, second: str) -> None:
    await app.register(first)

    response = await app.http.post("/users/", json={"email": second, "password": NEW_PASSWORD})

    assert outcome(response) == (409, "email_taken")
    refused = await app.http.post("/auth/login", json={"email": second, "password": NEW_PASSWORD})
    assert outcome(refused) == (401, "invalid_credentials")
    assert (await app.sign_in(second))["access_token"]
    await work_done(app)
    assert len(app.mailbox.mails()) == 1


async def test_of_50_registrations_of_one_address_at_once_one_wins_and_one_mail_goes_out(app: RunningApp) -> None:
    bodies = [{"email": email, "password": PASSWORD} for email in ("ada@example.org", "ADA@Example.org") * 25]

    responses = await asyncio.gather(*(app.http.post("/users/", json=body) for body in bodies))

    [_] = [response for response in responses if response.status_code == 201]
    refusals = [outcome(response) for response in responses if response.status_code != 201]
    assert refusals == [(409, "email_taken")] * 49
    await work_done(app)
    assert [mail["To"] for mail in app.mailbox.mails()] == [ADA]


async def test_a_weak_password_is_refused_in_words(app: RunningApp) -> None:
    for password, message in (
        ("Short-1", "Password must be 8 to 100 characters long"),
        ("Aa1" * 40, "Password must be 8 to 100 characters long"),
        ("correct-horse-42", "Password must contain uppercase letter"),
        ("CORRECT-HORSE-42", "Password must contain lowercase letter"),
        ("Correct-Horse-xy", "Password must contain number"),
    ):
        response = await app.http.post("/users/", json={"email": ADA, "password": password})

        assert outcome(response) == (422, "validation_error")
        assert response.json()["errors"] == [{"field": "body.password", "message": message, "type": "weak_password"}]
        assert password not in response.text
    assert (await app.register(ADA))["id"] > 0


async def test_a_name_of_blanks_is_refused(app: RunningApp) -> None:
    response = await app.http.post("/users/", json={"email": ADA, "password": PASSWORD, "full_name": " \u3000"})

    assert outcome(response) == (422, "validation_error")
    message = "A name must be 1 to 255 characters long and not blank"
    assert response.json()["errors"] == [{"field": "body.full_name", "message": message, "type": "value_error"}]


async def test_a_leaked_password_is_refused(app: RunningApp) -> None:
    response = await app.http.post("/users/", json={"email": ADA, "password": "Password1"})

    assert outcome(response) == (422, "password_too_common")
    assert (await app.register(ADA))["id"] > 0


async def test_registration_can_be_closed(start_app: StartApp) -> None:
    app = await start_app(registration_open=False)
    _, root = await app.superuser()

    response = await app.http.post("/users/", json={"email": ADA, "password": PASSWORD})

    assert outcome(response) == (403, "registration_closed")
    assert (await app.http.get("/users/", headers=root)).json()["total"] == 1
    await work_done(app)
    assert app.mailbox.mails() == []


async def test_one_sees_and_renames_oneself(app: RunningApp) -> None:
    user, ada = await app.user(ADA, full_name="Ada")

    renamed = await app.http.patch("/users/me", json={"full_name": "Ada Łovelace"}, headers=ada)
    seen = (await app.http.get("/users/me", headers=ada)).json()
    cleared = await app.http.patch("/users/me", json={"full_name": None}, headers=ada)

    assert renamed.status_code == 200
    assert renamed.json() == seen
    assert seen == user | {"full_name": "Ada Łovelace", "updated_at": seen["updated_at"]}
    assert seen["updated_at"] > user["updated_at"]
    assert cleared.json()["full_name"] is None
    assert (await app.http.get(f"/users/{user['id']}", headers=ada)).json() == cleared.json()


async def test_of_oneself_one_changes_the_name_only(app: RunningApp) -> None:
    user, ada = await app.user(ADA)
    bodies: list[tuple[dict[str, Any], str]] = [
        ({}, "body.full_name"),
        ({"full_name": "x" * 256}, "body.full_name"),
        ({"full_name": " \u3000"}, "body.full_name"),
        ({"full_name": "Ada\nLovelace"}, "body.full_name"),
        ({"full_name": "Eve", "is_superuser": True}, "body.is_superuser"),
        ({"full_name": "Eve", "email": "eve@example.org"}, "body.email"),
        ({"full_nam": "Eve"}, "body.full_name"),
    ]

    for body, field in bodies:
        response = await app.http.patch("/users/me", json=body, headers=ada)
        assert outcome(response) == (422, "validation_error")
        assert response.json()["errors"][0]["field"] == field

    assert (await app.http.get("/users/me", headers=ada)).json() == user


async def test_another_users_id_is_forbidden_whether_it_exists_or_not(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    other = await app.register("grace@example.org")

    for user_id in (other["id"], 999_999):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/ping")):
            body = {"json": {"is_active": False}} if method == "PATCH" else {}
            response = await app.http.request(method, f"/users/{user_id}{path}", headers=ada, **body)  # type: ignore[arg-type]
            assert outcome(response) == (403, "not_enough_privileges")
    grace = bearer(await app.sign_in("grace@example.org"))
    await work_done(app)
    assert (await app.http.get("/users/me", headers=grace)).json() == other


async def test_deleting_oneself_wants_the_password_and_ends_everything(app: RunningApp) -> None:
    user, ada = await app.user(ADA)
    elsewhere = await app.sign_in(ADA)

    wrong = await app.http.request("DELETE", "/users/me", json={"password": "Wrong-Horse-42"}, headers=ada)
    kept = await app.http.get("/users/me", headers=ada)
    right = await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=ada)

    assert outcome(wrong) == (403, "wrong_password")
    assert kept.json() == user
    assert (right.status_code, right.content) == (204, b"")
    for headers in (ada, bearer(elsewhere)):
        assert outcome(await app.http.get("/users/me", headers=headers)) == (401, "invalid_token")
    refreshed = await app.http.post("/auth/refresh", json={"refresh_token": elsewhere["refresh_token"]})
    assert outcome(refreshed) == (401, "invalid_refresh_token")
    again = await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD})
    assert outcome(again) == (401, "invalid_credentials")
    assert (await app.register(ADA))["id"] > user["id"]


async def test_a_ping_moves_last_active_in_the_background_once_a_minute(
    app_with_clock: RunningApp, clock: SettableClock
) -> None:
    app = app_with_clock
    user, ada = await app.user(ADA)
    _, root = await app.superuser()
    path = f"/users/{user['id']}/ping"

    moments: list[datetime] = []
    for who, later in ((ada, 1), (root, 59), (root, 1)):
        clock.advance(timedelta(seconds=later))
        moments.append(clock.now())
        response = await app.http.post(path, headers=who)
        assert (response.status_code, response.json()) == (200, {"success": True, "message": "Ping recorded"})
        await work_done(app)
        seen = (await app.http.get("/users/me", headers=ada)).json()["last_active"]
        assert seen.endswith("Z")
        assert datetime.fromisoformat(seen) == (moments[0] if len(moments) < 3 else moments[2])
    missing = await app.http.post("/users/999999/ping", headers=root)
    assert outcome(missing) == (404, "user_not_found")


async def test_using_the_api_moves_last_active_for_all_who_do(start_app: StartApp) -> None:
    one, other = await start_app(with_worker=False), await start_app(with_worker=False)
    _, ada = await one.user(ADA)
    bob, _ = await one.user("bob@example.org")
    _, root = await one.superuser()

    for app in (one, other):
        response = await app.http.get("/users/me", headers=ada)
        assert response.json()["last_active"] is None
    for app in (one, other):  # as every few seconds, and at the end
        await app.container.activity().write()

    seen = [(await app.http.get("/users/me", headers=ada)).json() for app in (one, other)]
    assert seen[0] == seen[1]
    assert seen[0]["created_at"] < seen[0]["last_active"]
    assert seen[0]["updated_at"] == seen[0]["created_at"]
    assert (await one.http.get(f"/users/{bob['id']}", headers=root)).json()["last_active"] is None


async def test_who_was_active_is_written_down_before_the_app_ends(
    deployment_settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "data", **deployment_settings)
    async with run_app(settings, with_worker=False) as app:
        _, ada = await app.user(ADA)
        await app.http.get("/users/me", headers=ada)
    async with run_app(settings, with_worker=False) as app:
        assert (await app.http.get("/users/me", headers=ada)).json()["last_active"] is not None


async def test_a_call_that_needs_somebody_says_so(app: RunningApp) -> None:
    for method, path in FOR_THE_SIGNED_IN:
        for headers in ({}, {"Authorization": "Basic YWRhOmFkYQ=="}, {"Authorization": "Bearer"}):
            response = await app.http.request(method, path, headers=headers)
            assert outcome(response) == (401, "not_authenticated"), (method, path)
            assert response.headers["WWW-Authenticate"] == "Bearer"
        response = await app.http.request(method, path, headers={"Authorization": "Bearer x"})
        assert outcome(response) == (401, "invalid_token"), (method, path)
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


async def _signing_out(app: RunningApp, ada: Headers, root: Headers, user_id: int) -> Any:
    return await app.http.post("/auth/logout", headers=ada)


async def _revoking_it_from_another_session(app: RunningApp, ada: Headers, root: Headers, user_id: int) -> Any:
    sessions = (await app.http.get("/auth/sessions", headers=ada)).json()["items"]
    [current] = [session["id"] for session in sessions if session["current"]]
    return await app.http.delete(f"/auth/sessions/{current}", headers=bearer(await app.sign_in(ADA)))


async def _revoking_all_others(app: RunningApp, ada: Headers, root: Headers, user_id: int) -> Any:
    return await app.http.delete("/auth/sessions", headers=bearer(await app.sign_in(ADA)))


async def _deactivating(app: RunningApp, ada: Headers, root: Headers, user_id: int) -> Any:
    return await app.http.patch(f"/users/{user_id}", json={"is_active": False}, headers=root)


async def _deleting(app: RunningApp, ada: Headers, root: Headers, user_id: int) -> Any:
    return await app.http.delete(f"/users/{user_id}", headers=root)


async def _deleting_oneself(app: RunningApp, ada: Headers, root: Headers, user_id: int) -> Any:
    return await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=ada)


async def _changing_the_password_elsewhere(app: RunningApp, ada: Headers, root: Headers, user_id: int) -> Any:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    return await app.http.post("/auth/password/change", json=body, headers=bearer(await app.sign_in(ADA)))


async def _resetting_the_password(app: RunningApp, ada: Headers, root: Headers, user_id: int) -> Any:
    await app.http.post("/auth/password/forgot", json={"email": ADA})
    body = {"token": await app.mailbox.token(ADA, page="reset-password"), "new_password": NEW_PASSWORD}
    return await app.http.post("/auth/password/reset", json=body)


@pytest.mark.parametrize(
    ("end", "refusal"),
    [
        (_signing_out, GONE),
        (_revoking_it_from_another_session, GONE),
        (_revoking_all_others, GONE),
        (_deactivating, (403, "inactive_user")),
        (_deleting, GONE),
        (_deleting_oneself, GONE),
        (_changing_the_password_elsewhere, GONE),
        (_resetting_the_password, GONE),
    ],
)
async def test_what_ends_a_session_counts_in_every_process_at_once(
    start_app: StartApp, end: Callable[..., Awaitable[Any]], refusal: tuple[int, str]
) -> None:
    here, there = await start_app(), await start_app(with_worker=False)
    _, root = await here.superuser()
    user, ada = await here.user(ADA)
    for app in (here, there):
        assert (await app.http.get("/users/me", headers=ada)).status_code == 200

    ended = await end(here, ada, root, user["id"])

    assert ended.status_code in (200, 204), ended.text
    for app in (there, here):
        assert outcome(await app.http.get("/users/me", headers=ada)) == refusal
        assert outcome(await app.http.get("/auth/sessions", headers=ada)) == refusal
    assert (await there.http.get("/users/me", headers=root)).status_code == 200
