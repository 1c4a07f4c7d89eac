"""Signing in and out, sessions, passwords and mailed links over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes import SettableClock
from tests.running_app import PASSWORD, RunningApp, bearer

ADA = "ada@example.org"


def outcome(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def test_signs_in_with_the_oauth2_form_and_with_json(app: RunningApp) -> None:
    await app.register(ADA)

    form = await app.http.post("/auth/login", data={"username": "ADA@example.org", "password": PASSWORD})
    json = await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD})

    for response in (form, json):
        assert response.status_code == 200
        assert response.json()["token_type"] == "bearer"
        assert response.json()["expires_in"] == 1800
        assert (await app.http.get("/users/me", headers=bearer(response.json()))).json()["email"] == ADA


async def test_a_wrong_address_and_a_wrong_password_get_the_same_answer(app: RunningApp) -> None:
    await app.register(ADA)
    tries = [{"email": ADA, "password": "Wrong-Horse-42"}, {"email": "no@example.org", "password": PASSWORD}]

    responses = [await app.http.post("/auth/login", json=credentials) for credentials in tries]

    assert {outcome(response) for response in responses} == {(401, "invalid_credentials")}
    assert responses[0].json()["message"] == responses[1].json()["message"]


async def test_every_character_of_a_long_password_counts_and_typing_is_composed(app: RunningApp) -> None:
    long = "Aa1" + "x" * 72
    await app.register("long@example.org", long + "y")
    await app.register("accent@example.org", "Caf\u00e9-Horse-42")

    twin = await app.http.post("/auth/login", json={"email": "long@example.org", "password": long + "z"})
    composed = await app.http.post(
        "/auth/login", json={"email": "accent@example.org", "password": "Cafe\u0301-Horse-42"}
    )

    assert outcome(twin) == (401, "invalid_credentials")
    assert composed.status_code == 200


async def test_20_refreshes_at_once_give_20_pairs_of_one_session(app: RunningApp) -> None:
    await app.register(ADA)
    pair = await app.sign_in(ADA)
    body = {"refresh_token": pair["refresh_token"]}

    responses = await asyncio.gather(*(app.http.post("/auth/refresh", json=body) for _ in range(20)))

    assert [response.status_code for response in responses] == [200] * 20
    for response in responses:
        assert (await app.http.get("/users/me", headers=bearer(response.json()))).status_code == 200
        again = await app.http.post("/auth/refresh", json={"refresh_token": response.json()["refresh_token"]})
        assert again.status_code == 200
    sessions = (await app.http.get("/auth/sessions", headers=bearer(pair))).json()["items"]
    assert [session["current"] for session in sessions] == [True]


async def test_a_refresh_token_spent_again_later_ends_its_session(start_app: Any) -> None:
    app = await start_app()
    clock = SettableClock(datetime.now(UTC))
    with app.container.clock.override(clock):
        app.container.reset_singletons()
        pair = await _signed_in_at(app)
        body = {"refresh_token": pair["refresh_token"]}
        fresh = (await app.http.post("/auth/refresh", json=body)).json()
        clock.advance(timedelta(seconds=11))

        reused = await app.http.post("/auth/refresh", json=body)

        assert outcome(reused) == (401, "refresh_token_reused")
        assert outcome(await app.http.get("/users/me", headers=bearer(fresh))) == (401, "invalid_token")
        refused = await app.http.post("/auth/refresh", json={"refresh_token": fresh["refresh_token"]})
        assert outcome(refused) == (401, "invalid_refresh_token")


async def _signed_in_at(app: RunningApp) -> dict[str, Any]:
    await app.container.database().open()
    await app.register(ADA)
    return await app.sign_in(ADA)


async def test_sessions_are_seen_and_revoked(app: RunningApp) -> None:
    await app.register(ADA)
    here, there, elsewhere = [bearer(await app.sign_in(ADA)) for _ in range(3)]
    sessions = (await app.http.get("/auth/sessions", headers=here)).json()["items"]
    assert len(sessions) == 3
    other = next(session["id"] for session in sessions if not session["current"])

    one = await app.http.delete(f"/auth/sessions/{other}", headers=here)
    unknown = await app.http.delete("/auth/sessions/nothing", headers=here)
    rest = await app.http.delete("/auth/sessions", headers=here)

    assert (one.status_code, rest.status_code) == (204, 204)
    assert outcome(unknown) == (404, "session_not_found")
    assert [(await app.http.get("/users/me", headers=who)).status_code for who in (here, there, elsewhere)] == [
        200,
        401,
        401,
    ]


async def test_another_users_session_does_not_exist(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    _, eve = await app.user("eve@example.org")
    session = (await app.http.get("/auth/sessions", headers=ada)).json()["items"][0]["id"]

    assert outcome(await app.http.delete(f"/auth/sessions/{session}", headers=eve)) == (404, "session_not_found")
    assert (await app.http.get("/users/me", headers=ada)).status_code == 200


async def test_the_link_in_the_mail_confirms_the_address_once(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    token = await app.mailbox.token(ADA)

    first = await app.http.post("/auth/verify-email", json={"token": token})
    second = await app.http.post("/auth/verify-email", json={"token": token})

    assert first.json() == {"success": True, "message": "The email address is confirmed", "data": None}
    assert outcome(second) == (400, "invalid_token")
    assert (await app.http.get("/users/me", headers=ada)).json()["is_verified"] is True


async def test_a_link_for_one_purpose_serves_no_other_and_no_token_serves_as_another(app: RunningApp) -> None:
    await app.register(ADA)
    token = await app.mailbox.token(ADA)
    reset = {"token": token, "new_password": "Better-Horse-43"}

    assert outcome(await app.http.post("/auth/password/reset", json=reset)) == (400, "invalid_token")
    assert outcome(await app.http.post("/auth/change-email", json={"token": token})) == (400, "invalid_token")
    assert outcome(await app.http.get("/users/me", headers={"Authorization": f"Bearer {token}"})) == (
        401,
        "invalid_token",
    )
    pair = await app.sign_in(ADA)
    refresh = {"Authorization": f"Bearer {pair['refresh_token']}"}
    assert outcome(await app.http.get("/users/me", headers=refresh)) == (401, "invalid_token")


async def test_a_forgotten_password_is_reset_once_and_every_session_ends(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    known = await app.http.post("/auth/password/forgot", json={"email": ADA}, headers={"Host": "evil.example"})
    unknown = await app.http.post("/auth/password/forgot", json={"email": "no@example.org"})
    token = await app.mailbox.token(ADA, page="reset-password")
    assert not [mail for mail in app.mailbox.mails() if "evil.example" in mail.as_string()]

    common = await app.http.post("/auth/password/reset", json={"token": token, "new_password": "Password1"})
    done = await app.http.post("/auth/password/reset", json={"token": token, "new_password": "Better-Horse-43"})
    again = await app.http.post("/auth/password/reset", json={"token": token, "new_password": "Better-Horse-44"})

    assert (known.status_code, unknown.status_code) == (202, 202)
    assert known.json() == unknown.json()
    assert outcome(common) == (422, "password_too_common")
    assert done.status_code == 200
    assert outcome(again) == (400, "invalid_token")
    assert outcome(await app.http.get("/users/me", headers=ada)) == (401, "invalid_token")
    await app.sign_in(ADA, "Better-Horse-43")
    assert [mail for mail in await app.mailbox.received(ADA, count=3) if "changed" in str(mail["Subject"])]


async def test_changing_the_password_keeps_this_session_and_ends_the_others(app: RunningApp) -> None:
    _, here = await app.user(ADA)
    there = bearer(await app.sign_in(ADA))
    wrong = {"current_password": "Wrong-Horse-42", "new_password": "Better-Horse-43"}

    refused = await app.http.post("/auth/password/change", json=wrong, headers=here)
    changed = await app.http.post("/auth/password/change", json={**wrong, "current_password": PASSWORD}, headers=here)

    assert outcome(refused) == (403, "wrong_password")
    assert changed.status_code == 200
    assert (await app.http.get("/users/me", headers=here)).status_code == 200
    assert (await app.http.get("/users/me", headers=there)).status_code == 401


async def test_a_later_link_supersedes_an_earlier_one(app: RunningApp) -> None:
    await app.register(ADA)
    first = await app.mailbox.token(ADA)
    resent = await app.http.post("/auth/verify-email/resend", json={"email": ADA})
    second = await app.mailbox.token(ADA, count=2)

    assert resent.status_code == 202
    assert outcome(await app.http.post("/auth/verify-email", json={"token": first})) == (400, "invalid_token")
    assert (await app.http.post("/auth/verify-email", json={"token": second})).status_code == 200


async def test_a_mail_carries_the_id_of_the_request_that_caused_it(app: RunningApp) -> None:
    body = {"email": ADA, "password": PASSWORD}

    response = await app.http.post("/users/", json=body, headers={"X-Request-ID": "tour-1"})

    assert response.headers["X-Request-ID"] == "tour-1"
    mail = (await app.mailbox.received(ADA))[0]
    assert mail["X-Request-ID"] == "tour-1"
    assert "http://localhost:8000/verify-email?token=" in mail.as_string()


async def test_after_ten_failures_an_address_and_account_must_wait_and_nobody_else(start_app: Any) -> None:
    app = await start_app(rate_limits_enabled=True)
    elsewhere = await start_app(rate_limits_enabled=True, with_worker=False, client="198.51.100.9")
    await app.register(ADA)
    await app.register("grace@example.org")
    wrong = {"email": ADA, "password": "Wrong-Horse-42"}

    tries = [await app.http.post("/auth/login", json=wrong) for _ in range(10)]
    refused = await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD})

    assert {outcome(response) for response in tries} == {(401, "invalid_credentials")}
    assert outcome(refused) == (429, "too_many_attempts")
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    await app.sign_in("grace@example.org")
    await elsewhere.sign_in(ADA)


@pytest.mark.parametrize("path", ["/auth/password/forgot", "/auth/verify-email/resend"])
async def test_asking_for_mail_is_limited_to_60_an_hour_for_one_address(start_app: Any, path: str) -> None:
    app = await start_app(rate_limits_enabled=True, with_worker=False)

    statuses = [(await app.http.post(path, json={"email": ADA})).status_code for _ in range(61)]

    assert statuses == [202] * 60 + [429]


async def test_a_forwarded_address_is_believed_only_from_a_trusted_proxy(start_app: Any) -> None:
    for trusted, seen in (("[]", "203.0.113.7"), ("203.0.113.0/24", "192.0.2.55")):
        app = await start_app(trusted_proxies=[] if trusted == "[]" else [trusted], with_worker=False)
        address = f"{seen.replace('.', '-')}@example.org"
        await app.register(address)
        body = {"email": address, "password": PASSWORD}
        pair = (await app.http.post("/auth/login", json=body, headers={"X-Forwarded-For": "192.0.2.55"})).json()
        session = (await app.http.get("/auth/sessions", headers=bearer(pair))).json()["items"][0]
        assert session["ip"] == seen
