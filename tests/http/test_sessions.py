"""Where one is signed in, and signing out."""

from datetime import datetime, timedelta

from tests.fakes import SettableClock
from tests.http.answers import outcome
from tests.running_app import PASSWORD, RunningApp, bearer

ADA = "ada@example.org"


async def test_one_sees_where_one_is_signed_in(app: RunningApp) -> None:
    await app.register(ADA)
    await app.user("eve@example.org")
    credentials = {"email": ADA, "password": PASSWORD}
    pairs = [
        (await app.http.post("/auth/login", json=credentials, headers={"User-Agent": browser})).json()
        for browser in ("Lynx/2.9", "Firefox/150")
    ]

    response = await app.http.get("/auth/sessions", headers=bearer(pairs[1]))

    assert response.status_code == 200
    assert response.json().keys() == {"items"}
    sessions = response.json()["items"]
    assert [session["user_agent"] for session in sessions] == ["Firefox/150", "Lynx/2.9"]
    assert [session["current"] for session in sessions] == [True, False]
    for session in sessions:
        assert session.keys() == {"id", "created_at", "last_used_at", "expires_at", "user_agent", "ip", "current"}
        assert session["ip"] == "203.0.113.7"
        assert session["created_at"].endswith("Z")
        lasts = datetime.fromisoformat(session["expires_at"]) - datetime.fromisoformat(session["created_at"])
        assert lasts == timedelta(days=30)
    for pair in pairs:
        assert pair["refresh_token"] not in response.text


async def test_signing_out_ends_this_session_and_no_other(app: RunningApp) -> None:
    await app.register(ADA)
    here, there = [await app.sign_in(ADA) for _ in range(2)]

    response = await app.http.post("/auth/logout", headers=bearer(here))

    assert (response.status_code, response.content) == (204, b"")
    assert outcome(await app.http.get("/users/me", headers=bearer(here))) == (401, "invalid_token")
    assert outcome(await app.http.post("/auth/logout", headers=bearer(here))) == (401, "invalid_token")
    refreshed = await app.http.post("/auth/refresh", json={"refresh_token": here["refresh_token"]})
    assert outcome(refreshed) == (401, "invalid_refresh_token")
    sessions = (await app.http.get("/auth/sessions", headers=bearer(there))).json()["items"]
    assert [session["current"] for session in sessions] == [True]


async def test_sessions_are_seen_and_revoked(app: RunningApp) -> None:
    await app.register(ADA)
    here, there, elsewhere = [await app.sign_in(ADA) for _ in range(3)]
    of_there = (await app.http.get("/auth/sessions", headers=bearer(there))).json()["items"]
    [other] = [session["id"] for session in of_there if session["current"]]

    async def alive() -> list[bool]:
        answers = [await app.http.get("/users/me", headers=bearer(pair)) for pair in (here, there, elsewhere)]
        assert {outcome(answer) for answer in answers if answer.status_code != 200} <= {(401, "invalid_token")}
        return [answer.status_code == 200 for answer in answers]

    one = await app.http.delete(f"/auth/sessions/{other}", headers=bearer(here))
    assert (one.status_code, one.content) == (204, b"")
    assert await alive() == [True, False, True]
    again = await app.http.delete(f"/auth/sessions/{other}", headers=bearer(here))
    assert outcome(again) == (404, "session_not_found")
    unknown = await app.http.delete("/auth/sessions/nothing", headers=bearer(here))
    assert outcome(unknown) == (404, "session_not_found")

    rest = await app.http.delete("/auth/sessions", headers=bearer(here))
    assert (rest.status_code, rest.content) == (204, b"")
    assert await alive() == [True, False, False]
    for pair in (there, elsewhere):
        refreshed = await app.http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
        assert outcome(refreshed) == (401, "invalid_refresh_token")


async def test_another_users_session_does_not_exist(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    _, eve = await app.user("eve@example.org")
    _, root = await app.superuser()
    session = (await app.http.get("/auth/sessions", headers=ada)).json()["items"][0]["id"]

    for other in (eve, root):
        refused = await app.http.delete(f"/auth/sessions/{session}", headers=other)
        assert outcome(refused) == (404, "session_not_found")
        await app.http.delete("/auth/sessions", headers=other)

    assert (await app.http.get("/users/me", headers=ada)).status_code == 200


async def test_a_session_lasts_from_its_last_use_and_then_is_gone(
    app_with_clock: RunningApp, clock: SettableClock
) -> None:
    app = app_with_clock
    await app.register(ADA)
    kept, left = await app.sign_in(ADA), await app.sign_in(ADA)

    clock.advance(timedelta(days=29))
    kept = (await app.http.post("/auth/refresh", json={"refresh_token": kept["refresh_token"]})).json()
    seen = (await app.http.get("/auth/sessions", headers=bearer(kept))).json()["items"]
    clock.advance(timedelta(days=1))
    kept = (await app.http.post("/auth/refresh", json={"refresh_token": kept["refresh_token"]})).json()
    late = await app.http.post("/auth/refresh", json={"refresh_token": left["refresh_token"]})

    assert [session["current"] for session in seen] == [True, False]  # last used first
    assert seen[0]["last_used_at"] > seen[1]["last_used_at"]
    assert seen[0]["expires_at"] > seen[1]["expires_at"]
    assert outcome(late) == (401, "invalid_refresh_token")
    sessions = (await app.http.get("/auth/sessions", headers=bearer(kept))).json()["items"]
    assert [session["current"] for session in sessions] == [True]
