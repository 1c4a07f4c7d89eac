"""There is always somebody who can act as a superuser."""

import asyncio
from typing import Any

import pytest

from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.running_app import PASSWORD, RunningApp


async def test_the_last_active_superuser_stays(app: RunningApp) -> None:
    user, root = await app.superuser()
    other, _ = await app.superuser("other@example.org")
    await app.http.patch(f"/users/{other['id']}", json={"is_active": False}, headers=root)
    path = f"/users/{user['id']}"

    refusals = [
        await app.http.patch(path, json={"is_superuser": False}, headers=root),
        await app.http.patch(path, json={"is_active": False}, headers=root),
        await app.http.patch(path, json={"is_active": False, "is_superuser": False, "full_name": "X"}, headers=root),
        await app.http.delete(path, headers=root),
        await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=root),
    ]

    assert {outcome(response) for response in refusals} == {(409, "last_superuser")}
    assert (await app.http.get("/users/me", headers=root)).json() == user
    renamed = await app.http.patch(path, json={"full_name": "Root", "is_active": True}, headers=root)
    assert renamed.status_code == 200
    await app.http.patch(f"/users/{other['id']}", json={"is_active": True}, headers=root)
    assert (await app.http.delete(path, headers=root)).status_code == 204


@pytest.mark.parametrize(
    ("method", "body"),
    [("PATCH", {"is_superuser": False}), ("PATCH", {"is_active": False}), ("DELETE", None)],
)
async def test_of_two_superusers_who_remove_each_other_at_once_one_stays(
    start_app: StartApp, method: str, body: dict[str, Any] | None
) -> None:
    here, there = await start_app(), await start_app(with_worker=False)
    one, as_one = await here.superuser("one@example.org")
    two, as_two = await here.superuser("two@example.org")
    await there.http.get("/users/me", headers=as_two)

    responses = await asyncio.gather(
        here.http.request(method, f"/users/{two['id']}", json=body, headers=as_one),
        there.http.request(method, f"/users/{one['id']}", json=body, headers=as_two),
    )

    won = [response.status_code in (200, 204) for response in responses]
    assert sorted(won) == [False, True]
    assert responses[won.index(False)].status_code in (401, 403, 409)
    page = await here.http.get("/users/?is_active=true", headers=[as_one, as_two][won.index(True)])
    assert [user["is_superuser"] for user in page.json()["items"]].count(True) == 1


async def test_of_two_superusers_who_leave_at_once_one_stays(start_app: StartApp) -> None:
    here, there = await start_app(), await start_app(with_worker=False)
    signed_in = [(await here.superuser(f"{name}@example.org"))[1] for name in ("one", "two")]
    await there.http.get("/users/me", headers=signed_in[1])

    responses = await asyncio.gather(
        *(
            app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=headers)
            for app, headers in zip((here, there), signed_in, strict=True)
        )
    )

    assert sorted(response.status_code for response in responses) == [204, 409]
    [(kept, refused)] = [
        (headers, response)
        for headers, response in zip(signed_in, responses, strict=True)
        if response.status_code == 409
    ]
    assert outcome(refused) == (409, "last_superuser")
    assert (await here.http.get("/users/", headers=kept)).json()["total"] == 1


async def test_of_superusers_who_demote_themselves_at_once_one_stays(app: RunningApp) -> None:
    signed_in = [await app.superuser(f"root{number}@example.org") for number in range(5)]

    responses = await asyncio.gather(
        *(
            app.http.patch(f"/users/{user['id']}", json={"is_superuser": False}, headers=headers)
            for user, headers in signed_in
        )
    )

    assert sorted(response.status_code for response in responses) == [200] * 4 + [409]
    [kept] = [signed_in[n][1] for n, response in enumerate(responses) if response.status_code == 409]
    users = (await app.http.get("/users/", headers=kept)).json()["items"]
    assert [user["is_superuser"] for user in users].count(True) == 1
