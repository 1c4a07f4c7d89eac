"""Staying signed in."""

import asyncio
from datetime import timedelta
from typing import Any

from dependency_injector.providers import Object

from tests.fakes import SettableClock
from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.running_app import RunningApp, bearer

ADA = "ada@example.org"


async def refresh(app: RunningApp, pair: dict[str, Any]) -> Any:
    return await app.http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})


async def pair_after(app: RunningApp, pair: dict[str, Any]) -> dict[str, Any]:
    response = await refresh(app, pair)
    assert response.status_code == 200, response.text
    new: dict[str, Any] = response.json()
    return new


async def test_a_refresh_token_gives_a_new_pair_of_the_same_session(app: RunningApp) -> None:
    await app.register(ADA)
    pair = await app.sign_in(ADA)

    new = await pair_after(app, pair)

    assert new.keys() == pair.keys()
    assert new["refresh_token"] != pair["refresh_token"]
    assert new["access_token"] != pair["access_token"]
    for headers in (bearer(pair), bearer(new)):
        sessions = (await app.http.get("/auth/sessions", headers=headers)).json()["items"]
        assert [session["current"] for session in sessions] == [True]


async def test_20_refreshes_at_once_give_20_pairs_of_one_session(start_app: StartApp, clock: SettableClock) -> None:
    def at_once(container: Any) -> None:
        """However long it takes, it takes no more than the 10 s."""
        container.clock.override(Object(clock))

    apps = [await start_app(prepare=at_once), await start_app(prepare=at_once, with_worker=False)]
    await apps[0].register(ADA)
    pair = await apps[0].sign_in(ADA)

    responses = await asyncio.gather(*(refresh(apps[number % 2], pair) for number in range(20)))

    assert [response.status_code for response in responses] == [200] * 20
    pairs = [response.json() for response in responses]
    assert len({pair["refresh_token"] for pair in pairs}) == 20
    for pair in pairs:
        assert (await apps[0].http.get("/users/me", headers=bearer(pair))).status_code == 200
        await pair_after(apps[1], pair)
    sessions = (await apps[0].http.get("/auth/sessions", headers=bearer(pair))).json()["items"]
    assert [session["current"] for session in sessions] == [True]


async def test_two_tabs_that_refreshed_at_once_both_go_on(app_with_clock: RunningApp, clock: SettableClock) -> None:
    app = app_with_clock
    await app.register(ADA)
    pair = await app.sign_in(ADA)

    one = await pair_after(app, pair)
    clock.advance(timedelta(seconds=10))
    two = await pair_after(app, pair)
    for _ in range(3):
        clock.advance(timedelta(minutes=29))
        one, two = await pair_after(app, one), await pair_after(app, two)

    for headers in (bearer(one), bearer(two)):
        sessions = (await app.http.get("/auth/sessions", headers=headers)).json()["items"]
        assert [session["current"] for session in sessions] == [True]


async def test_a_refresh_token_spent_again_later_ends_its_session(start_app: StartApp, clock: SettableClock) -> None:
    def settable(container: Any) -> None:
        container.clock.override(Object(clock))

    here, there = await start_app(prepare=settable), await start_app(prepare=settable, with_worker=False)
    await here.register(ADA)
    pair, bystander = await here.sign_in(ADA), await here.sign_in(ADA)
    fresh = await pair_after(here, await pair_after(here, pair))
    clock.advance(timedelta(seconds=10, milliseconds=1))

    reused = await refresh(here, pair)

    assert outcome(reused) == (401, "refresh_token_reused")
    for app in (there, here):
        for headers in (bearer(fresh), bearer(pair)):
            assert outcome(await app.http.get("/users/me", headers=headers)) == (401, "invalid_token")
        for dead in (fresh, pair):
            assert outcome(await refresh(app, dead)) == (401, "invalid_refresh_token")
        sessions = (await app.http.get("/auth/sessions", headers=bearer(bystander))).json()["items"]
        assert [session["current"] for session in sessions] == [True]


async def test_a_refresh_token_that_was_never_given_or_holds_no_more_is_refused(app: RunningApp) -> None:
    _, root = await app.superuser()
    user = await app.register(ADA)
    pair, revoked, other = [await app.sign_in(ADA) for _ in range(3)]
    mailed = await app.mailbox.token(ADA)
    await app.http.post("/auth/logout", headers=bearer(revoked))
    texts = ["x", "", pair["access_token"], mailed, revoked["refresh_token"], pair["refresh_token"] + "A"]

    for text in texts:
        response = await refresh(app, {"refresh_token": text})
        assert outcome(response) == (401, "invalid_refresh_token"), text
        assert response.json()["message"] == "The refresh token is not valid. Please sign in again"
    for body in ({}, {"refresh_token": None}, {"refresh_token": pair["refresh_token"], "x": 1}):
        malformed = await app.http.post("/auth/refresh", json=body)
        assert outcome(malformed) == (422, "validation_error")

    other = await pair_after(app, other)
    assert (await pair_after(app, pair))["access_token"]
    await app.http.delete(f"/users/{user['id']}", headers=root)
    assert outcome(await refresh(app, other)) == (401, "invalid_refresh_token")


async def test_who_is_deactivated_cannot_refresh_and_spends_nothing_by_trying(
    app_with_clock: RunningApp, clock: SettableClock
) -> None:
    app = app_with_clock
    _, root = await app.superuser()
    user = await app.register(ADA)
    pair = await app.sign_in(ADA)
    path = f"/users/{user['id']}"

    await app.http.patch(path, json={"is_active": False}, headers=root)
    refused = await refresh(app, pair)
    await app.http.patch(path, json={"is_active": True}, headers=root)
    clock.advance(timedelta(minutes=5))

    assert outcome(refused) == (403, "inactive_user")
    assert (await pair_after(app, pair))["access_token"]
