"""The AsyncAPI document, by the standard's own schema, and what is really said by the document."""

import gzip
import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest

from application.ports.realtime import Change, Person
from domain.files import File, FileId
from domain.items import Item, ItemId
from domain.tasks import Task, TaskId, TaskKind
from domain.users import Email, User, UserId
from entrypoints.http.asyncapi import document_of
from entrypoints.http.realtime_messages import RECEIVED, SENT
from entrypoints.http.realtime_words import ClientWords, error
from entrypoints.http.shown import Shown
from entrypoints.settings import Settings
from tests.fakes import SettableClock
from tests.running_app import RunningApp

STANDARD: Final = Path(__file__).with_name("asyncapi-3.0.0.json.gz")
"""The JSON schema of AsyncAPI 3.0.0 as its makers publish it (@asyncapi/specs 6.11.1, Apache License 2.0)."""
ADA: Final = Person(7, "Ada")


@pytest.fixture
def document() -> dict[str, Any]:
    return document_of(Settings(_env_file=None, public_url="https://portico.example/base"))


def words() -> list[str]:
    """Everything that a client can be told."""
    said, now = ClientWords(), SettableClock().now()
    user = User(id=UserId(7), email=Email("ada@example.org"), password_hash="x", created_at=now, updated_at=now)
    things: dict[str, Any] = {"owner_id": UserId(7), "created_at": now}
    shown = Shown("/api/v1")
    made = {"file_id": 1, "size": 726, "items": 0, "files": 0}
    item = shown(Item(id=ItemId(1), title="Milk", updated_at=now, **things))
    task = shown(Task(id=TaskId("t1"), kind=TaskKind.EXPORT_ACCOUNT, result=made, **things))
    file = shown(
        File(id=FileId(1), filename="a.pdf", content_type="application/pdf", size=1, sha256="0" * 64, **things)
    )
    return [
        said.authenticated(user),
        said.subscribed("items"),
        said.unsubscribed("items"),
        said.reset("items"),
        said.message("room:a", "m1", ADA, '{"any": "thing"}'),
        said.presence("room:a", [ADA, Person(8, None)]),
        said.joined("room:a", ADA),
        said.left("room:a", ADA),
        said.change(Change(42, 7, "items", "item.created", item)),
        said.change(Change(43, 7, "items", "item.updated", item)),
        said.change(Change(44, 7, "items", "item.deleted", '{"id": 1}')),
        said.change(Change(45, 7, "files", "file.created", file)),
        said.change(Change(46, 7, "files", "file.deleted", '{"id": 1}')),
        said.change(Change(47, 7, "tasks", "task.updated", task)),
        error("unknown_action", "There is no such action"),
    ]


def test_the_document_is_what_the_standard_says(document: dict[str, Any]) -> None:
    standard = json.loads(gzip.decompress(STANDARD.read_bytes()))
    jsonschema_rs.validator_for(standard).validate(document)
    assert document["servers"]["portico"]["protocol"] == "wss"
    assert document["servers"]["portico"]["pathname"] == "/base"


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place: Any = document
        for part in reference.split("/"):
            place = place[part]


def test_all_that_is_said_is_in_the_document(document: dict[str, Any]) -> None:
    told = {reference["$ref"].rpartition("/")[2] for reference in document["operations"]["tell"]["messages"]}
    matched: set[str] = set()
    for text in words():
        message = json.loads(text)
        fitting = {
            name
            for name in told
            if jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", **document}).is_valid(message)
        }
        assert len(fitting) == 1, (text, fitting)
        matched |= fitting
    assert matched == told == {model.__name__ for model in RECEIVED}


def test_what_clients_may_send_is_told_apart_by_its_action(document: dict[str, Any]) -> None:
    actions = [document["components"]["schemas"][model.__name__]["properties"]["action"]["const"] for model in SENT]
    assert sorted(actions) == ["presence", "publish", "subscribe", "unsubscribe"]


async def test_it_is_there_to_fetch(app: RunningApp) -> None:
    answer = await app.http.get("/asyncapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == document_of(app.settings)
    made = app.app.state.asyncapi
    assert (await app.http.get("/asyncapi.json")).content == made
    assert app.app.state.asyncapi is made
