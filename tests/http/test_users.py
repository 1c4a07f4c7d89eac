"""Accounts over HTTP."""

import asyncio
from typing import Any

import pytest

from tests.running_app import PASSWORD, RunningApp, bearer, eventually


async def test_registering_gives_the_account_and_where_it_is(app: RunningApp) -> None:
    response = await app.http.post("/users/", json={"email": "Ada@Example.org", "password": PASSWORD})

    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/users/{response.json()['id']}"
    assert response.json()["email"] == "ada@example.org"
    assert "password" not in response.text


@pytest.mark.parametrize(
    ("first", "second"), [("ada@example.org", "ADA@Example.ORG"), ("a@bücher.de", "a@xn--bcher-kva.de")]
)
async def test_an_address_in_another_spelling_is_the_same_address(app: RunningApp, first: str, second: str) -> None:
    await app.register(first)

    response = await app.http.post("/users/", json={"email": second, "password": PASSWORD})

    assert (response.status_code, response.json()["code"]) == (409, "email_taken")


async def test_of_50_registrations_of_one_address_at_once_one_wins_and_one_mail_goes_out(app: RunningApp) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD}

    responses = await asyncio.gather(*(app.http.post("/users/", json=body) for _ in range(50)))

    assert sorted(response.status_code for response in responses) == [201] + [409] * 49
    await app.register("grace@example.org")
    await app.mailbox.received("grace@example.org")  # whatever was written down before is done by now
    assert len(await app.mailbox.received("ada@example.org")) == 1


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("Short-1", "Password must be 8 to 100 characters long"),
        ("Aa1" * 40, "Password must be 8 to 100 characters long"),
        ("correct-horse-42", "Password must contain uppercase letter"),
        ("CORRECT-HORSE-42", "Password must contain lowercase letter"),
        ("Correct-Horse-xy", "Password must contain number"),
    ],
)
async def test_a_weak_password_is_refused_in_words(app: RunningApp, password: str, message: str) -> None:
    response = await app.http.post("/users/", json={"email": "ada@example.org", "password": password})

    assert response.status_code == 422
    assert response.json()["errors"] == [{"field": "body.password", "message": message, "type": "weak_password"}]
    assert password not in response.text


async def test_a_leaked_password_is_refused(app: RunningApp) -> None:
    response = await app.http.post("/users/", json={"email": "ada@example.org", "password": "Password1"})

    assert (response.status_code, response.json()["code"]) == (422, "password_too_common")


async def test_registration_can_be_closed(start_app: Any) -> None:
    app = await start_app(registration_open=False)

    response = await app.http.post("/users/", json={"email": "ada@example.org", "password": PASSWORD})

    assert (response.status_code, response.json()["code"]) == (403, "registration_closed")


async def test_one_sees_and_renames_oneself(app: RunningApp) -> None:
    user, ada = await app.user("ada@example.org", full_name="Ada")

    renamed = await app.http.patch("/users/me", json={"full_name": "Ada Łovelace"}, headers=ada)
    seen = await app.http.get("/users/me", headers=ada)

    assert renamed.status_code == 200
    assert seen.json()["full_name"] == "Ada Łovelace"
    assert (await app.http.get(f"/users/{user['id']}", headers=ada)).json() == seen.json()


async def test_another_users_id_is_forbidden_whether_it_exists_or_not(app: RunningApp) -> None:
    _, ada = await app.user("ada@example.org")
    other = await app.register("grace@example.org")

    for user_id in (other["id"], 999_999):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/ping")):
            body = {"json": {"is_active": False}} if method == "PATCH" else {}
            response = await app.http.request(method, f"/users/{user_id}{path}", headers=ada, **body)  # type: ignore[arg-type]
            assert (response.status_code, response.json()["code"]) == (403, "not_enough_privileges")


async def test_deleting_oneself_wants_the_password_and_ends_everything(app: RunningApp) -> None:
    _, ada = await app.user("ada@example.org")

    wrong = await app.http.request("DELETE", "/users/me", json={"password": "Wrong-Horse-42"}, headers=ada)
    right = await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=ada)

    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
    assert right.status_code == 204
    assert (await app.http.get("/users/me", headers=ada)).json()["code"] == "invalid_token"
    assert (await app.register("ada@example.org"))["id"] > 0


async def test_a_ping_moves_last_active_in_the_background(app: RunningApp) -> None:
    user, ada = await app.user("ada@example.org")

    response = await app.http.post(f"/users/{user['id']}/ping", headers=ada)

    assert (response.status_code, response.json()) == (200, {"success": True, "message": "Ping recorded"})
    async with asyncio.timeout(10):
        while (await app.http.get("/users/me", headers=ada)).json()["last_active"] is None:  # noqa: ASYNC110 - a job
            await asyncio.sleep(0.02)


async def test_a_superuser_lists_searches_and_pages(app: RunningApp) -> None:
    _, root = await app.superuser()
    for name in ("Ærøskøbing Ada", "ada_x", "100%", "Grace"):
        await app.register(full_name=name)

    async def found(**query: Any) -> list[str]:
        response = await app.http.get("/users/", params=query, headers=root)
        assert response.status_code == 200
        return [user["full_name"] for user in response.json()["items"]]

    assert await found(q="ÆRØ ada") == ["Ærøskøbing Ada"]
    assert await found(q="a_x") == ["ada_x"]
    assert await found(q="0%") == ["100%"]
    assert await found(limit=1, skip=1) == ["100%"]
    page = (await app.http.get("/users/?limit=2", headers=root)).json()
    assert (page["total"], page["page"], page["pages"], page["size"]) == (5, 1, 3, 2)


async def test_a_walk_by_cursor_misses_and_repeats_nothing_while_accounts_come_and_go(app: RunningApp) -> None:
    _, root = await app.superuser()
    ids = [(await app.register())["id"] for _ in range(6)]
    seen: list[int] = []
    cursor: str | None = None

    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await app.http.get("/users/", params=query, headers=root)).json()
        seen += [user["id"] for user in page["items"]]
        await app.register()
        await app.http.delete(f"/users/{seen[-1]}", headers=root)
        cursor = page["next_cursor"]
        if cursor is None:
            break
        assert (page["total"] is None) == (len(seen) > 2)

    assert len(seen) == len(set(seen))
    assert set(ids) <= set(seen)


@pytest.mark.parametrize("cursor", ["x", "YWZ0ZXI6MA", "YWZ0ZXI6LTE", "%00", "YWZ0ZXI6OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
async def test_a_forged_cursor_is_refused(app: RunningApp, cursor: str) -> None:
    _, root = await app.superuser()

    response = await app.http.get("/users/", params={"cursor": cursor}, headers=root)

    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "query.cursor")


async def test_a_superuser_changes_and_deletes_accounts(app: RunningApp) -> None:
    _, root = await app.superuser()
    user, ada = await app.user("ada@example.org")
    path = f"/users/{user['id']}"

    off = await app.http.patch(path, json={"is_active": False}, headers=root)
    refused = await app.http.get("/users/me", headers=ada)
    sign_in = await app.http.post("/auth/login", json={"email": "ada@example.org", "password": PASSWORD})
    back = await app.http.patch(path, json={"is_active": True, "email": "Countess@example.org"}, headers=root)
    missing = await app.http.patch("/users/999999", json={}, headers=root)
    null = await app.http.patch(path, json={"is_active": None}, headers=root)
    gone = await app.http.delete(path, headers=root)

    assert off.json()["is_active"] is False
    assert (refused.status_code, refused.json()["code"]) == (403, "inactive_user")
    assert (sign_in.status_code, sign_in.json()["code"]) == (403, "inactive_user")
    assert (back.json()["email"], back.json()["is_verified"]) == ("countess@example.org", False)
    assert (missing.status_code, missing.json()["message"]) == (404, "User not found")
    assert null.status_code == 422
    assert gone.status_code == 204
    assert (await app.http.get(path, headers=root)).status_code == 404


async def test_the_last_active_superuser_stays(app: RunningApp) -> None:
    user, root = await app.superuser()
    path = f"/users/{user['id']}"

    refusals = [
        await app.http.patch(path, json={"is_superuser": False}, headers=root),
        await app.http.patch(path, json={"is_active": False}, headers=root),
        await app.http.delete(path, headers=root),
        await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=root),
    ]

    assert {(response.status_code, response.json()["code"]) for response in refusals} == {(409, "last_superuser")}


async def test_of_two_superusers_who_demote_each_other_at_once_one_stays(app: RunningApp) -> None:
    one, as_one = await app.superuser("one@example.org")
    two, as_two = await app.superuser("two@example.org")

    responses = await asyncio.gather(
        app.http.patch(f"/users/{two['id']}", json={"is_superuser": False}, headers=as_one),
        app.http.patch(f"/users/{one['id']}", json={"is_superuser": False}, headers=as_two),
    )

    assert sorted(response.status_code for response in responses) in ([200, 403], [200, 409])


async def test_a_changed_address_counts_once_the_link_is_used_and_the_old_one_is_told(app: RunningApp) -> None:
    _, ada = await app.user("ada@example.org")
    body = {"new_email": "countess@example.org", "password": PASSWORD}

    asked = await app.http.post("/users/me/email", json=body, headers=ada)
    token = await app.mailbox.token("countess@example.org")
    before = (await app.http.get("/users/me", headers=ada)).json()
    changed = await app.http.post("/auth/change-email", json={"token": token})
    again = await app.http.post("/auth/change-email", json={"token": token})

    assert (asked.status_code, changed.status_code) == (202, 200)
    assert before["email"] == "ada@example.org"
    assert (again.status_code, again.json()["code"]) == (400, "invalid_token")
    after = (await app.http.get("/users/me", headers=ada)).json()
    assert (after["email"], after["is_verified"]) == ("countess@example.org", True)
    notices = await app.mailbox.received("ada@example.org", count=3)
    assert len([mail for mail in notices if "countess@example.org" in mail.as_string()]) == 2


async def test_what_ends_a_session_counts_in_every_process_at_once(start_app: Any) -> None:
    here, there = await start_app(), await start_app(with_worker=False)
    user, ada = await here.user("ada@example.org")
    assert (await there.http.get("/users/me", headers=ada)).status_code == 200

    await here.http.post("/auth/logout", headers=ada)

    refused = await there.http.get("/users/me", headers=ada)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    pair = await there.sign_in("ada@example.org")
    assert (await here.http.get(f"/users/{user['id']}", headers=bearer(pair))).status_code == 200
    assert await eventually(lambda: here.mailbox.mails("ada@example.org"))
