"""Tasks over HTTP: chapter 8 of the contract, on each deployment."""

import asyncio
import io
import json
import zipfile
from typing import Any
from uuid import uuid4

import pytest

from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.running_app import DEADLINE, RunningApp

Headers = dict[str, str]
ENDED = ("completed", "failed", "cancelled")


async def upload(app: RunningApp, headers: Headers, content: str, name: str = "items.csv") -> int:
    response = await app.http.post(
        "/files/upload", files={"file": (name, content.encode(), "text/csv")}, headers=headers
    )
    assert response.status_code == 201, response.text
    file_id: int = response.json()["id"]
    return file_id


async def start(app: RunningApp, headers: Headers, kind: str = "export_account", **params: Any) -> str:
    response = await app.http.post("/tasks/start", json={"kind": kind, "params": params}, headers=headers)
    assert response.status_code == 202, response.text
    task: dict[str, str] = response.json()
    assert task == {"task_id": task["task_id"], "status": "started"}
    return task["task_id"]


async def get(app: RunningApp, headers: Headers, task_id: str) -> dict[str, Any]:
    response = await app.http.get(f"/tasks/{task_id}", headers=headers)
    assert response.status_code == 200, response.text
    task: dict[str, Any] = response.json()
    return task


async def ended(app: RunningApp, headers: Headers, task_id: str) -> dict[str, Any]:
    """The task once it has ended."""
    async with asyncio.timeout(DEADLINE):
        while (task := await get(app, headers, task_id))["status"] not in ENDED:  # noqa: ASYNC110 - tasks
            await asyncio.sleep(0.02)
    return task


async def titles(app: RunningApp, headers: Headers) -> list[str]:
    response = await app.http.get("/items/", params={"sort": "created_at", "limit": 100}, headers=headers)
    return [item["title"] for item in response.json()["items"]]


async def test_an_import_makes_items_of_the_good_rows_and_names_the_bad_ones(app: RunningApp) -> None:
    _, ada = await app.user()
    content = 'title,description\nMilk,"Two\nlitres"\n,nameless\nBread,\n'
    task_id = await start(app, ada, "import_items", file_id=await upload(app, ada, content))
    task = await ended(app, ada, task_id)
    assert task == {
        "task_id": task_id,
        "kind": "import_items",
        "status": "completed",
        "progress": 100,
        "message": "Items created: 2; rows that could not be imported: 1; see `errors` for their lines",
        "result": {
            "created": 2,
            "created_by_other_tasks": 0,
            "rejected": 1,
            "errors": [{"line": 4, "reason": "A title must be 1 to 255 characters long and not blank"}],
        },
        "error": None,
        "attempts": 1,
        "created_at": task["created_at"],
        "started_at": task["started_at"],
        "finished_at": task["finished_at"],
    }
    assert task["created_at"] <= task["started_at"] <= task["finished_at"]
    assert task["finished_at"].endswith("Z")
    assert await titles(app, ada) == ["Milk", "Bread"]


async def test_an_export_is_a_zip_among_ones_files(app: RunningApp) -> None:
    user, ada = await app.user()
    await app.http.post("/items/", json={"title": "Zoë"}, headers=ada)
    file_id = await upload(app, ada, "hello", "a.txt")
    task = await ended(app, ada, await start(app, ada))
    assert (task["status"], task["progress"]) == ("completed", 100)
    content = await app.http.get(f"/files/{task['result']['file_id']}/content", headers=ada)
    archive = zipfile.ZipFile(io.BytesIO(content.content))
    assert archive.namelist() == ["profile.json", "items.json", f"files/{file_id}-a.txt"]
    assert json.loads(archive.read("profile.json"))["id"] == user["id"]
    assert [item["title"] for item in json.loads(archive.read("items.json"))] == ["Zoë"]
    assert archive.read(f"files/{file_id}-a.txt") == b"hello"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.kind"),
        ({"kind": "launder_money"}, "body.kind"),
        ({"kind": ["export_account"]}, "body.kind"),
        ({"kind": "import_items"}, "body.params.file_id"),
        ({"kind": "import_items", "params": {"file_id": "1"}}, "body.params.file_id"),
        ({"kind": "import_items", "params": {"file_id": 0}}, "body.params.file_id"),
        ({"kind": "import_items", "params": {"file_id": 2**63}}, "body.params.file_id"),
        ({"kind": "import_items", "params": None}, "body.params"),
        ({"kind": "export_account", "params": {"file_id": 1}}, "body.params.file_id"),
        ({"kind": "export_account", "parms": {}}, "body.parms"),
    ],
)
async def test_what_is_no_task_is_refused(app: RunningApp, body: dict[str, Any], field: str) -> None:
    _, ada = await app.user()
    response = await app.http.post("/tasks/start", json=body, headers=ada)
    assert outcome(response) == (422, "validation_error")
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert (await app.http.get("/tasks/", headers=ada)).json()["items"] == []


async def test_nobody_imports_a_file_that_is_not_theirs(app: RunningApp) -> None:
    _, ada = await app.user()
    _, bob = await app.user()
    for file_id in (await upload(app, ada, "title,description\n"), 4711):
        body = {"kind": "import_items", "params": {"file_id": file_id}}
        assert outcome(await app.http.post("/tasks/start", json=body, headers=bob)) == (404, "file_not_found")


async def test_others_tasks_are_as_if_they_did_not_exist_for_superusers_too(app: RunningApp) -> None:
    _, ada = await app.user()
    _, bob = await app.user()
    _, root = await app.superuser()
    task_id = await start(app, ada)
    for headers in (bob, root):
        for path in (f"/tasks/{task_id}", f"/tasks/{uuid4().hex}", "/tasks/x"):
            assert outcome(await app.http.get(path, headers=headers)) == (404, "task_not_found")
            assert outcome(await app.http.delete(path, headers=headers)) == (404, "task_not_found")
        assert (await app.http.get("/tasks/", headers=headers)).json()["total"] == 0
    assert (await ended(app, ada, task_id))["status"] == "completed"


async def test_nothing_goes_without_signing_in(app: RunningApp) -> None:
    for method, path in (("POST", "/tasks/start"), ("GET", "/tasks/"), ("GET", "/tasks/x"), ("DELETE", "/tasks/x")):
        assert outcome(await app.http.request(method, path)) == (401, "not_authenticated")


async def test_a_task_that_waits_is_cancelled_and_never_done(start_app: Any) -> None:
    app: RunningApp = await start_app(with_worker=False)
    _, ada = await app.user()
    task_id = await start(app, ada, "import_items", file_id=await upload(app, ada, "title,description\nMilk,\n"))
    assert (await get(app, ada, task_id))["status"] == "started"
    response = await app.http.delete(f"/tasks/{task_id}", headers=ada)
    assert response.status_code == 202
    assert response.json() == {"success": True, "message": "The task is cancelled", "data": None}
    task = await get(app, ada, task_id)
    assert (task["status"], task["started_at"]) == ("cancelled", None)
    await start_app()
    other = await start(app, ada)
    assert (await ended(app, ada, other))["status"] == "completed"
    assert (await get(app, ada, task_id)) == task
    assert await titles(app, ada) == []


async def test_what_has_ended_can_not_be_cancelled(app: RunningApp) -> None:
    _, ada = await app.user()
    task_id = await start(app, ada)
    await ended(app, ada, task_id)
    assert outcome(await app.http.delete(f"/tasks/{task_id}", headers=ada)) == (409, "task_finished")


async def test_a_task_is_started_once_under_one_key(app: RunningApp) -> None:
    _, ada = await app.user()
    body = {"kind": "export_account", "params": {}}
    answers = [
        await app.http.post("/tasks/start", json=body, headers={**ada, "Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert (await app.http.get("/tasks/", headers=ada)).json()["total"] == 1


async def test_a_refused_start_leaves_its_key_free(app: RunningApp) -> None:
    _, ada = await app.user()
    headers = {**ada, "Idempotency-Key": "k"}
    body = {"kind": "import_items", "params": {"file_id": 4711}}
    assert (await app.http.post("/tasks/start", json=body, headers=headers)).status_code == 404
    assert (await app.http.post("/tasks/start", json={"kind": "export_account"}, headers=headers)).status_code == 202


async def test_of_many_starts_at_once_no_more_than_a_hundred_count(start_app: StartApp) -> None:
    app = await start_app(with_worker=False)
    (_, ada), (_, bob) = await app.user(), await app.user()
    body = {"kind": "export_account", "params": {}}
    answers = await asyncio.gather(*(app.http.post("/tasks/start", json=body, headers=ada) for _ in range(105)))
    assert sorted(answer.status_code for answer in answers) == [202] * 100 + [409] * 5
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert outcome(refused) == (409, "too_many_tasks")
    await start(app, bob)


async def test_tasks_are_listed_newest_first_by_offset_and_by_key(app: RunningApp) -> None:
    (_, ada), (_, bob) = await app.user(), await app.user()
    tasks = [await start(app, ada) for _ in range(5)]
    first = (await app.http.get("/tasks/", params={"limit": 2}, headers=ada)).json()
    assert [task["task_id"] for task in first["items"]] == [tasks[4], tasks[3]]
    assert (first["total"], first["page"], first["size"], first["pages"]) == (5, 1, 2, 3)
    cursor, rest = first["next_cursor"], []
    while cursor:
        page = (await app.http.get("/tasks/", params={"limit": 2, "cursor": cursor}, headers=ada)).json()
        rest += [task["task_id"] for task in page["items"]]
        assert page["total"] is None
        cursor = page["next_cursor"]
    assert rest == [tasks[2], tasks[1], tasks[0]]
    foreign = await app.http.get("/tasks/", params={"cursor": first["next_cursor"]}, headers=bob)
    assert outcome(foreign) == (422, "validation_error")


async def test_a_file_with_another_header_fails_with_what_to_do(app: RunningApp) -> None:
    _, ada = await app.user()
    task_id = await start(app, ada, "import_items", file_id=await upload(app, ada, "name\nMilk\n"))
    task = await ended(app, ada, task_id)
    assert (task["status"], task["error"], task["result"]) == ("failed", "wrong_header", None)
    assert "title,description" in task["message"]


async def test_where_tasks_are_started_is_no_id(app: RunningApp) -> None:
    _, ada = await app.user()
    for method in ("GET", "DELETE", "PUT"):
        response = await app.http.request(method, "/tasks/start", headers=ada)
        assert outcome(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"
