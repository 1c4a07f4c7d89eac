"""What superusers see and do."""

from typing import Any

from tests.http.answers import outcome, work_done
from tests.running_app import PASSWORD, RunningApp

ADA = "ada@example.org"


async def test_a_superuser_lists_searches_and_pages(app: RunningApp) -> None:
    _, root = await app.superuser()
    for name in ("Ærøskøbing Ada", "ada_x", "100%", "Grace!"):
        await app.register(full_name=name)

    async def found(**query: Any) -> list[str]:
        response = await app.http.get("/users/", params=query, headers=root)
        assert response.status_code == 200
        return [user["full_name"] for user in response.json()["items"]]

    assert await found() == ["Grace!", "100%", "ada_x", "Ærøskøbing Ada", None]
    assert await found(q="ÆRØ ada") == ["Ærøskøbing Ada"]
    assert await found(q="ADA") == ["ada_x", "Ærøskøbing Ada"]
    assert await found(q="a_x") == ["ada_x"]
    assert await found(q="_") == ["ada_x"]
    assert await found(q="0%") == ["100%"]
    assert await found(q="%") == ["100%"]
    assert await found(q="!") == ["Grace!"]
    assert await found(q="USER4@ grace") == ["Grace!"]
    assert await found(q="nobody") == []
    assert await found(q=" ") == await found()
    assert await found(limit=1, skip=1) == ["100%"]
    assert await found(skip=5) == []


async def test_a_page_tells_how_much_there_is(app: RunningApp) -> None:
    _, root = await app.superuser()
    for name in ("one", "two", "three", "two again"):
        await app.register(full_name=name)

    async def figures(**query: Any) -> tuple[Any, ...]:
        page = (await app.http.get("/users/", params=query, headers=root)).json()
        assert page.keys() == {"items", "total", "page", "size", "pages", "next_cursor"}
        return page["total"], page["page"], page["size"], page["pages"], page["next_cursor"] is not None

    assert await figures() == (5, 1, 10, 1, False)
    assert await figures(limit=2) == (5, 1, 2, 3, True)
    assert await figures(limit=2, skip=3) == (5, 2, 2, 3, False)
    assert await figures(limit=2, skip=4) == (5, 3, 2, 3, False)
    assert await figures(limit=5) == (5, 1, 5, 1, False)
    assert await figures(q="two", limit=1) == (2, 1, 1, 2, True)
    assert await figures(q="nobody") == (0, 1, 10, 0, False)


async def test_a_list_is_narrowed_to_those_who_are_active_or_not(app: RunningApp) -> None:
    _, root = await app.superuser()
    user = await app.register(ADA)
    await app.http.patch(f"/users/{user['id']}", json={"is_active": False}, headers=root)

    for is_active, addresses in (("true", ["root@example.org"]), ("false", [ADA])):
        page = (await app.http.get("/users/", params={"is_active": is_active}, headers=root)).json()
        assert [found["email"] for found in page["items"]] == addresses
        assert page["total"] == 1


async def test_a_walk_by_cursor_misses_and_repeats_nothing_while_accounts_come_and_go(app: RunningApp) -> None:
    _, root = await app.superuser()
    ids = [(await app.register())["id"] for _ in range(6)]
    seen: list[int] = []
    cursor: str | None = None

    while True:
        query = {"limit": "2", "q": "user"} | ({"cursor": cursor} if cursor else {})
        page = (await app.http.get("/users/", params=query, headers=root)).json()
        seen += [user["id"] for user in page["items"]]
        counted = (page["total"], page["page"], page["pages"])
        assert counted == ((6, 1, 3) if cursor is None else (None, None, None))
        await app.register()
        await app.http.delete(f"/users/{seen[-1]}", headers=root)
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == ids[::-1]


async def test_a_cursor_that_is_forged_tampered_with_or_another_lists_is_refused(app: RunningApp) -> None:
    _, root = await app.superuser()
    await app.register()
    for title in ("one", "two"):
        await app.http.post("/items/", json={"title": title}, headers=root)
    ours = (await app.http.get("/users/?limit=1", headers=root)).json()["next_cursor"]
    other = (await app.http.get("/items/?limit=1", headers=root)).json()["next_cursor"]
    tampered = [ours[:-1], ours + "A", ("B" if ours[0] == "A" else "A") + ours[1:], ours[::-1], other]

    for cursor in ("x", "YWZ0ZXI6MA", "%00", "YWZ0ZXI6OTk5OTk5OTk5OTk5OTk5OTk5OTk5", *tampered):
        response = await app.http.get("/users/", params={"cursor": cursor}, headers=root)
        assert outcome(response) == (422, "validation_error")
        assert [error["field"] for error in response.json()["errors"]] == ["query.cursor"]


async def test_a_query_that_makes_no_sense_is_refused(app: RunningApp) -> None:
    _, root = await app.superuser()

    for query in ("limit=0", "limit=101", "limit=x", "skip=-1", f"skip={2**63}", "is_active=maybe", "q=a%00b"):
        response = await app.http.get(f"/users/?{query}", headers=root)
        assert outcome(response) == (422, "validation_error")
        assert response.json()["errors"][0]["field"] == f"query.{query.partition('=')[0]}"


async def test_the_list_is_for_superusers_from_the_moment_they_are(app: RunningApp) -> None:
    _, root = await app.superuser()
    user, ada = await app.user(ADA)
    path = f"/users/{user['id']}"

    before = await app.http.get("/users/", headers=ada)
    promoted = await app.http.patch(path, json={"is_superuser": True}, headers=root)
    during = await app.http.get("/users/", headers=ada)
    await app.http.patch(path, json={"is_superuser": False}, headers=root)
    after = await app.http.get("/users/", headers=ada)

    assert promoted.json()["is_superuser"] is True
    assert (before.status_code, during.status_code, after.status_code) == (403, 200, 403)
    assert {outcome(before), outcome(after)} == {(403, "not_enough_privileges")}


async def test_a_superuser_sees_any_account_and_is_told_when_there_is_none(app: RunningApp) -> None:
    _, root = await app.superuser()
    user = await app.register(ADA)

    assert (await app.http.get(f"/users/{user['id']}", headers=root)).json() == user
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {"full_name": "X"}} if method == "PATCH" else {}
        missing = await app.http.request(method, "/users/999999", headers=root, **body)  # type: ignore[arg-type]
        assert outcome(missing) == (404, "user_not_found")
        assert missing.json()["message"] == "User not found"
        assert missing.json()["path"] == "/api/v1/users/999999"


async def test_what_is_no_id_is_refused(app: RunningApp) -> None:
    _, root = await app.superuser()

    for user_id in ("0", "-1", "x", "1.0", str(2**63), "٣", "01"):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/ping")):
            body = {"json": {"full_name": "X"}} if method == "PATCH" else {}
            response = await app.http.request(method, f"/users/{user_id}{path}", headers=root, **body)  # type: ignore[arg-type]
            assert outcome(response) == (422, "validation_error"), (method, user_id)


async def test_a_patch_changes_what_it_names_and_nothing_else(app: RunningApp) -> None:
    _, root = await app.superuser()
    user = await app.register(ADA, full_name="Ada")
    path = f"/users/{user['id']}"

    changes: list[dict[str, Any]] = [
        {"full_name": "Countess"},
        {"is_active": False},
        {"is_active": True, "is_superuser": True},
        {"is_superuser": False},
        {"email": "countess@example.org"},
        {"full_name": None},
        {},
    ]
    for change in changes:
        response = await app.http.patch(path, json=change, headers=root)
        user |= change | {"updated_at": response.json()["updated_at"]}
        assert (response.status_code, response.json()) == (200, user)
        assert (await app.http.get(path, headers=root)).json() == user


async def test_an_address_that_a_superuser_gives_is_still_to_be_confirmed(app: RunningApp) -> None:
    _, root = await app.superuser()
    user = await app.register(ADA)
    path = f"/users/{user['id']}"
    stale = await app.mailbox.token(ADA)
    await app.http.post("/auth/verify-email", json={"token": stale})

    same = await app.http.patch(path, json={"email": "ADA@example.org"}, headers=root)
    other = await app.http.patch(path, json={"email": "countess@example.org"}, headers=root)

    assert same.json()["is_verified"] is True
    assert other.json()["is_verified"] is False
    token = await app.mailbox.token("countess@example.org")
    assert (await app.http.post("/auth/verify-email", json={"token": token})).status_code == 200
    assert (await app.http.get(path, headers=root)).json()["is_verified"] is True
    await app.sign_in("countess@example.org")
    assert len(app.mailbox.mails(ADA)) == 1


async def test_a_patch_that_is_refused_changes_nothing(app: RunningApp) -> None:
    _, root = await app.superuser()
    user, ada = await app.user(ADA, full_name="Ada")
    await app.register("grace@example.org")
    bodies: list[tuple[dict[str, Any], int, str]] = [
        ({"email": None}, 422, "validation_error"),
        ({"is_active": None}, 422, "validation_error"),
        ({"is_superuser": None}, 422, "validation_error"),
        ({"is_active": "false"}, 422, "validation_error"),
        ({"is_superuser": 1}, 422, "validation_error"),
        ({"full_name": "X", "password": "Better-Horse-43"}, 422, "validation_error"),
        ({"full_name": "X", "is_verified": True}, 422, "validation_error"),
        ({"full_name": " ", "is_active": False}, 422, "validation_error"),
        ({"full_name": "X", "email": "no address"}, 422, "validation_error"),
        ({"full_name": "X", "email": "GRACE@example.org"}, 409, "email_taken"),
    ]

    for body, status, code in bodies:
        response = await app.http.patch(f"/users/{user['id']}", json=body, headers=root)
        assert outcome(response) == (status, code), body

    assert (await app.http.get("/users/me", headers=ada)).json() == user
    await work_done(app)
    assert len(app.mailbox.mails()) == 2


async def test_who_is_deactivated_is_out_until_activated_again(app: RunningApp) -> None:
    _, root = await app.superuser()
    user, ada = await app.user(ADA)
    pair = await app.sign_in(ADA)
    path = f"/users/{user['id']}"

    off = await app.http.patch(path, json={"is_active": False}, headers=root)

    assert off.json()["is_active"] is False
    assert outcome(await app.http.get("/users/me", headers=ada)) == (403, "inactive_user")
    sign_in = await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD})
    assert outcome(sign_in) == (403, "inactive_user")
    refreshed = await app.http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert outcome(refreshed) == (403, "inactive_user")
    await app.http.patch(path, json={"is_active": True}, headers=root)
    await app.sign_in(ADA)


async def test_who_is_deleted_is_gone_and_the_address_is_free(app: RunningApp) -> None:
    _, root = await app.superuser()
    user, ada = await app.user(ADA)
    pair = await app.sign_in(ADA)

    response = await app.http.delete(f"/users/{user['id']}", headers=root)

    assert (response.status_code, response.content) == (204, b"")
    assert outcome(await app.http.get(f"/users/{user['id']}", headers=root)) == (404, "user_not_found")
    assert outcome(await app.http.get("/users/me", headers=ada)) == (401, "invalid_token")
    refreshed = await app.http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert outcome(refreshed) == (401, "invalid_refresh_token")
    again, as_again = await app.user(ADA)
    assert again["id"] != user["id"]
    assert len((await app.http.get("/auth/sessions", headers=as_again)).json()["items"]) == 1
    assert outcome(await app.http.get("/users/me", headers=ada)) == (401, "invalid_token")
