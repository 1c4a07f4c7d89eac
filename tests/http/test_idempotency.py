"""`Idempotency-Key` over HTTP, on each deployment."""

import asyncio
from typing import Any, Final

import pytest

from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.http.uploading import upload
from tests.running_app import DEADLINE, RunningApp, eventually

IN_PROGRESS: Final = (409, "idempotency_in_progress")


async def post(app: RunningApp, headers: dict[str, str], key: str, body: Any = None) -> Any:
    body = {"title": "Buy milk"} if body is None else body
    return await app.http.post("/items/", json=body, headers={**headers, "Idempotency-Key": key})


def encoded(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


async def total(app: RunningApp, headers: dict[str, str]) -> int:
    return int((await app.http.get("/items/", headers=headers)).json()["total"])


async def test_the_first_answer_is_given_again(app: RunningApp) -> None:
    _, ada = await app.user()
    first, second = await post(app, ada, "k"), await post(app, ada, "k")
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    for name in ("Location", "ETag", "Content-Type"):
        assert first.headers[name] == second.headers[name]
    assert await total(app, ada) == 1


async def test_an_answer_is_the_same_with_a_key_as_without(app: RunningApp) -> None:
    _, ada = await app.user()
    plain = await app.http.post("/items/", json={"title": "Buy milk"}, headers=ada)
    keyed = await post(app, ada, "k")
    assert plain.headers["Content-Type"] == keyed.headers["Content-Type"] == "application/json"
    assert plain.json().keys() == keyed.json().keys()


async def until_done(app: RunningApp, headers: dict[str, str], key: str) -> Any:
    """The answer to a request that is sent again for as long as it is refused because another one is under way."""
    async with asyncio.timeout(DEADLINE):
        while (response := await post(app, headers, key)).status_code == 409:
            assert outcome(response) == IN_PROGRESS
    return response


async def test_twenty_at_once_through_two_processes_make_one_row_and_one_answer(
    app: RunningApp, start_app: StartApp
) -> None:
    _, ada = await app.user()
    both = (app, await start_app(with_worker=False))
    done = await asyncio.gather(*(until_done(both[number % 2], ada, "k") for number in range(20)))
    assert {response.status_code for response in done} == {201}
    assert len({response.content for response in done}) == 1
    assert sum("Idempotency-Replayed" not in response.headers for response in done) == 1
    assert await total(app, ada) == 1


async def test_while_the_first_is_under_way_others_under_its_key_are_refused_at_once(app: RunningApp) -> None:
    user, ada = await app.user()
    async with app.container.begin()() as work:
        await work.users.get(user["id"])  # until this ends, nothing is added for her
        started = [asyncio.create_task(post(app, ada, "k")) for _ in range(3)]
        refused = await eventually(lambda: len(done := [task for task in started if task.done()]) == 2 and done)
        another = await post(app, ada, "k", {"title": "Bread"})
    (first,) = [await task for task in started if task not in refused]
    for response in (*(task.result() for task in refused), another):
        assert outcome(response) == IN_PROGRESS
        assert int(response.headers["Retry-After"]) > 0
    assert first.status_code == 201
    again = await post(app, ada, "k")
    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert outcome(await post(app, ada, "k", {"title": "Bread"})) == (422, "idempotency_key_reused")
    assert await total(app, ada) == 1


async def test_what_is_finished_is_given_again_to_all_who_ask_at_once(app: RunningApp) -> None:
    _, ada = await app.user()
    first = await post(app, ada, "k")
    again = await asyncio.gather(*(post(app, ada, "k") for _ in range(20)))
    assert {(response.status_code, response.content) for response in again} == {(201, first.content)}


async def test_another_users_key_is_another_key(app: RunningApp) -> None:
    _, ada = await app.user()
    _, bob = await app.user()
    first, second = await post(app, ada, "k"), await post(app, bob, "k")
    assert first.json()["id"] != second.json()["id"]
    assert "Idempotency-Replayed" not in second.headers


async def test_a_key_with_another_body_is_refused(app: RunningApp) -> None:
    _, ada = await app.user()
    await post(app, ada, "k")
    reused = await post(app, ada, "k", {"title": "Bread"})
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert await total(app, ada) == 1


async def test_a_key_with_another_path_is_refused(app: RunningApp) -> None:
    _, ada = await app.user()
    first, other = [
        await app.http.post(
            f"/files/{(await upload(app, ada, content))['id']}/link",
            json={"expires_in": 60},
            headers={**ada, "Idempotency-Key": "k"},
        )
        for content in (b"tea", b"milk")
    ]
    assert first.status_code == 200
    assert outcome(other) == (422, "idempotency_key_reused")


async def test_a_failure_leaves_the_key_free(app: RunningApp) -> None:
    _, ada = await app.user()
    assert (await post(app, ada, "k", {"title": ""})).status_code == 422
    done = await post(app, ada, "k")
    assert done.status_code == 201
    assert "Idempotency-Replayed" not in done.headers


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "caf\u00e9", "a\tb"])
async def test_a_key_that_is_none_is_refused(app: RunningApp, key: str) -> None:
    _, ada = await app.user()
    response = await app.http.post(
        "/items/", json={"title": "x"}, headers={**encoded(ada), b"Idempotency-Key": key.encode("latin-1")}
    )
    assert (response.status_code, response.json()["code"]) == (400, "invalid_idempotency_key")
    assert await total(app, ada) == 0


async def test_the_longest_key_will_do(app: RunningApp) -> None:
    _, ada = await app.user()
    assert (await post(app, ada, "~" * 255)).status_code == 201
