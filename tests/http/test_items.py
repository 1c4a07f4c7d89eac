"""Items over HTTP: chapter by chapter what the contract says of them, on each deployment."""

import asyncio
from typing import Any

import pytest

from application.items import BATCH
from tests.running_app import RunningApp

Headers = dict[str, str]


async def create(app: RunningApp, headers: Headers, title: str = "Buy milk", **more: Any) -> dict[str, Any]:
    response = await app.http.post("/items/", json={"title": title, **more}, headers=headers)
    assert response.status_code == 201, response.text
    item: dict[str, Any] = response.json()
    return item


async def titles(app: RunningApp, headers: Headers, **query: Any) -> list[str]:
    response = await app.http.get("/items/", params=query, headers=headers)
    assert response.status_code == 200, response.text
    return [item["title"] for item in response.json()["items"]]


async def test_creating_gives_the_item_where_it_is_and_its_tag(app: RunningApp) -> None:
    user, ada = await app.user()
    response = await app.http.post("/items/", json={"title": "Buy milk"}, headers=ada)
    item = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/items/{item['id']}"
    assert response.headers["ETag"] == '"1"'
    assert item == {
        "id": item["id"],
        "title": "Buy milk",
        "description": None,
        "owner_id": user["id"],
        "version": 1,
        "created_at": item["created_at"],
        "updated_at": item["created_at"],
    }
    assert item["created_at"].endswith("Z")
    fetched = await app.http.get(f"/items/{item['id']}", headers=ada)
    assert (fetched.json(), fetched.headers["ETag"]) == (item, '"1"')


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.title"),
        ({"title": ""}, "body.title"),
        ({"title": " \u2003\t"}, "body.title"),
        ({"title": "x" * 256}, "body.title"),
        ({"title": None}, "body.title"),
        ({"title": "a\0b"}, "body.title"),
        ({"title": "x", "description": "x" * 10_001}, "body.description"),
        ({"title": "x", "descripton": "typo"}, "body.descripton"),
    ],
)
async def test_what_breaks_the_rules_is_refused(app: RunningApp, body: dict[str, Any], field: str) -> None:
    _, ada = await app.user()
    response = await app.http.post("/items/", json=body, headers=ada)
    assert (response.status_code, response.json()["code"]) == (422, "validation_error")
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert await titles(app, ada) == []


async def test_the_longest_texts_are_kept_whole(app: RunningApp) -> None:
    _, ada = await app.user()
    item = await create(app, ada, "\U0001f95b" * 255, description="\u00df" * 10_000)
    assert (await app.http.get(f"/items/{item['id']}", headers=ada)).json() == item


async def test_others_items_are_as_if_they_did_not_exist_for_superusers_too(app: RunningApp) -> None:
    _, ada = await app.user()
    _, bob = await app.user()
    _, root = await app.superuser()
    item = await create(app, ada)
    for headers in (bob, root):
        for item_id in (item["id"], 4711):
            for method, body in (("GET", None), ("PUT", {"title": "x"}), ("PATCH", {"title": "x"}), ("DELETE", None)):
                response = await app.http.request(method, f"/items/{item_id}", json=body, headers=headers)
                assert (response.status_code, response.json()["code"]) == (404, "item_not_found")
    assert (await app.http.get(f"/items/{item['id']}", headers=ada)).json() == item


async def test_putting_replaces_and_patching_changes_what_is_given(app: RunningApp) -> None:
    _, ada = await app.user()
    path = f"/items/{(await create(app, ada, description='Two litres'))['id']}"
    patched = await app.http.patch(path, json={"title": "Buy oat milk"}, headers=ada)
    assert (patched.json()["title"], patched.json()["description"]) == ("Buy oat milk", "Two litres")
    assert (patched.headers["ETag"], patched.json()["version"]) == ('"2"', 2)
    emptied = await app.http.patch(path, json={"description": None}, headers=ada)
    assert (emptied.json()["title"], emptied.json()["description"]) == ("Buy oat milk", None)
    await app.http.patch(path, json={"description": "One"}, headers=ada)
    replaced = await app.http.put(path, json={"title": "Bread"}, headers=ada)
    assert (replaced.json()["title"], replaced.json()["description"]) == ("Bread", None)
    assert replaced.headers["ETag"] == '"5"'
    assert (await app.http.get(path, headers=ada)).json() == replaced.json()
    refused = await app.http.patch(path, json={"title": None}, headers=ada)
    assert [error["field"] for error in refused.json()["errors"]] == ["body.title"]


async def test_a_deleted_item_is_gone(app: RunningApp) -> None:
    _, ada = await app.user()
    path = f"/items/{(await create(app, ada))['id']}"
    assert (await app.http.delete(path, headers=ada)).status_code == 204
    assert (await app.http.get(path, headers=ada)).status_code == 404
    assert (await app.http.delete(path, headers=ada)).status_code == 404


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ('"1"', 304),
        ('W/"1"', 304),
        ('"7", W/"1"', 304),
        ("*", 304),
        ('"2"', 200),
        ('"01"', 200),
        ("1", 200),
        ('"1', 200),
        ("", 200),
    ],
)
async def test_a_client_that_has_the_version_gets_304(app: RunningApp, condition: str, status: int) -> None:
    _, ada = await app.user()
    path = f"/items/{(await create(app, ada))['id']}"
    response = await app.http.get(path, headers={**ada, "If-None-Match": condition})
    assert (response.status_code, response.headers["ETag"]) == (status, '"1"')
    assert bool(response.content) == (status == 200)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('"1"', True),
        ('"7", "1"', True),
        ("*", True),
        ('W/"1"', False),
        ('"2"', False),
        ("1", False),
        ('"1", nonsense', False),
        ("", False),
    ],
)
async def test_a_precondition_that_does_not_hold_writes_nothing(
    app: RunningApp, method: str, condition: str, holds: bool
) -> None:
    _, ada = await app.user()
    item = await create(app, ada)
    body = None if method == "DELETE" else {"title": "Bread"}
    response = await app.http.request(method, f"/items/{item['id']}", json=body, headers={**ada, "If-Match": condition})
    if holds:
        assert response.is_success
        return
    assert (response.status_code, response.json()["code"]) == (412, "version_mismatch")
    assert (await app.http.get(f"/items/{item['id']}", headers=ada)).json() == item


async def test_of_twenty_writers_with_one_version_exactly_one_wins(app: RunningApp) -> None:
    _, ada = await app.user()
    path = f"/items/{(await create(app, ada))['id']}"
    responses = await asyncio.gather(
        *(app.http.put(path, json={"title": f"{n}"}, headers={**ada, "If-Match": '"1"'}) for n in range(20))
    )
    assert sorted(response.status_code for response in responses) == [200] + [412] * 19
    (winner,) = [response for response in responses if response.status_code == 200]
    assert (await app.http.get(path, headers=ada)).json() == winner.json()
    assert winner.headers["ETag"] == '"2"'


async def test_a_list_is_ones_own_with_a_true_total(app: RunningApp) -> None:
    _, ada = await app.user()
    _, bob = await app.user()
    for n in range(5):
        await create(app, ada, f"{n}")
    await create(app, bob, "Bob's")
    response = (await app.http.get("/items/", params={"skip": 2, "limit": 2}, headers=ada)).json()
    assert [item["title"] for item in response["items"]] == ["2", "1"]
    assert {name: response[name] for name in ("total", "page", "size", "pages")} == {
        "total": 5,
        "page": 2,
        "size": 2,
        "pages": 3,
    }
    assert (await app.http.get("/items?limit=1", headers=bob)).json()["total"] == 1


async def test_only_a_superuser_may_list_anothers_items(app: RunningApp) -> None:
    user, ada = await app.user()
    _, bob = await app.user()
    _, root = await app.superuser()
    await create(app, ada)
    assert await titles(app, root, owner_id=user["id"]) == ["Buy milk"]
    assert await titles(app, ada, owner_id=user["id"]) == ["Buy milk"]
    assert await titles(app, root) == []
    for owner in (user["id"], 4711):
        refused = await app.http.get("/items/", params={"owner_id": owner}, headers=bob)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_enough_privileges")


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "updated_at", "-updated_at", "title", "-title"])
async def test_every_sort_is_paged_by_cursor_without_total(app: RunningApp, sort: str) -> None:
    _, ada = await app.user()
    for title in ("b", "\u00e9", "B", "a", "\U0001f95b", "b", "Z", "\ufb01"):
        await create(app, ada, title)
    await app.http.patch(
        f"/items/{(await app.http.get('/items/', headers=ada)).json()['items'][3]['id']}", json={}, headers=ada
    )
    everything = (await app.http.get("/items/", params={"sort": sort, "limit": 100}, headers=ada)).json()
    field = sort.removeprefix("-")
    assert everything["next_cursor"] is None
    assert everything["items"] == sorted(
        everything["items"], key=lambda item: (item[field], item["id"]), reverse=sort.startswith("-")
    )
    walked, cursor = [], None
    while True:
        query: dict[str, Any] = {"sort": sort, "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await app.http.get("/items/", params=query, headers=ada)).json()
        walked += page["items"]
        assert (page["total"] is None) == (cursor is not None)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert walked == everything["items"]


@pytest.mark.parametrize("character", ["\U0001f95b", "\x01", "\\", "x"])
async def test_the_longest_titles_are_paged_by_cursor_too(app: RunningApp, character: str) -> None:
    _, ada = await app.user()
    ids = [(await create(app, ada, character * 255))["id"] for _ in range(2)]
    query: dict[str, Any] = {"sort": "title", "limit": 1}
    first = (await app.http.get("/items/", params=query, headers=ada)).json()
    query["cursor"] = first["next_cursor"]
    second = (await app.http.get("/items/", params=query, headers=ada)).json()
    assert [item["id"] for page in (first, second) for item in page["items"]] == ids


async def test_a_cursor_of_somebody_elses_list_is_refused(app: RunningApp) -> None:
    user, ada = await app.user()
    _, bob = await app.user()
    _, root = await app.superuser()
    for headers in (ada, ada, bob, root):
        await create(app, headers)
    cursor = (await app.http.get("/items/?limit=1", headers=ada)).json()["next_cursor"]
    for headers in (bob, root):
        refused = await app.http.get("/items/", params={"cursor": cursor}, headers=headers)
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == ["query.cursor"]
    assert await titles(app, ada, cursor=cursor) == ["Buy milk"]
    assert await titles(app, root, cursor=cursor, owner_id=user["id"]) == ["Buy milk"]


async def test_a_cursor_of_another_hand_list_or_sort_is_refused(app: RunningApp) -> None:
    _, root = await app.superuser()
    await app.user()
    await app.user()
    for n in range(3):
        await create(app, root, f"{n}")
    of_items = (await app.http.get("/items/?limit=1", headers=root)).json()["next_cursor"]
    of_users = (await app.http.get("/users/?limit=1", headers=root)).json()["next_cursor"]
    wrong = ["", "nonsense", "\u00e9", of_items[:-1], of_items + "A", "A" + of_items, of_items[22:], of_users]
    forged = ("B" if of_items[0] == "A" else "A") + of_items[1:]
    for path, cursors in {
        "/items/": [*wrong, forged],
        "/items/?sort=title": [of_items],
        "/users/": [of_items],
    }.items():
        for cursor in cursors:
            response = (
                await app.http.get(path, params={"cursor": cursor}, headers=root)
                if "?" not in path
                else (await app.http.get(f"{path}&cursor={cursor}", headers=root))
            )
            assert response.status_code == 422, (path, cursor)
            assert [error["field"] for error in response.json()["errors"]] == ["query.cursor"]
    assert (await app.http.get("/users/", params={"cursor": of_users}, headers=root)).status_code == 200


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("STRASSE", ["Stra\u00dfe 50%"]),
        ("\u0434\u043e\u043c", ["\u0414\u041e\u041c a_b"]),
        ("%", ["Stra\u00dfe 50%"]),
        ("_", ["\u0414\u041e\u041c a_b"]),
        ("50% stra", ["Stra\u00dfe 50%"]),
        ("cream coffee", ["Coffee"]),
        ("coffee tea", []),
        ("!", []),
        ("", ["Coffee", "\u0414\u041e\u041c a_b", "Stra\u00dfe 50%"]),
    ],
)
async def test_words_are_found_in_any_case_with_no_character_special(app: RunningApp, q: str, found: list[str]) -> None:
    _, ada = await app.user()
    await create(app, ada, "Stra\u00dfe 50%")
    await create(app, ada, "\u0414\u041e\u041c a_b")
    await create(app, ada, "Coffee", description="with CREAM")
    assert await titles(app, ada, q=q) == found


@pytest.mark.parametrize(
    "query",
    [
        "q=" + "+".join("abcdefghijk"), "q=%00", "sort=size", "limit=0", "limit=101", "skip=-1",
        "owner_id=0", "owner_id=1.0", "owner_id=01", "owner_id=%2B1", "owner_id=+1", f"owner_id={2**63}",
    ],
)  # fmt: skip
async def test_a_query_that_makes_no_sense_is_refused(app: RunningApp, query: str) -> None:
    _, ada = await app.user()
    assert (await app.http.get(f"/items/?{query}", headers=ada)).status_code == 422


async def test_deleting_a_user_removes_all_their_items_and_no_others(app: RunningApp) -> None:
    user, ada = await app.user()
    _, bob = await app.user()
    _, root = await app.superuser()
    item = await create(app, ada)
    async with app.container.begin()() as work:
        for _ in range(BATCH):  # and one more: they don't go in one transaction
            await work.items.add(await work.items.get(item["id"]))
    await create(app, bob)
    assert (await app.http.delete(f"/users/{user['id']}", headers=root)).status_code == 204

    async def left() -> int:
        return int((await app.http.get("/items/", params={"owner_id": user["id"]}, headers=root)).json()["total"])

    async with asyncio.timeout(60):
        while await left():  # noqa: ASYNC110 - the database is what is waited for
            await asyncio.sleep(0.01)
    assert await titles(app, bob) == ["Buy milk"]


async def test_signing_in_is_needed_for_everything(app: RunningApp) -> None:
    for method, path in (("GET", "/items/"), ("POST", "/items/"), ("GET", "/items/1"), ("DELETE", "/items/1")):
        assert (await app.http.request(method, path)).json()["code"] == "not_authenticated"
