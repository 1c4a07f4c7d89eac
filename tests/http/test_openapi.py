"""The OpenAPI document, and the pages that show it."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jsonschema_rs
import pytest

from tests.deployments import LAPTOP, Deployment
from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.images import drawn
from tests.running_app import PASSWORD, RunningApp

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do: the document doesn't depend on which."""
    return LAPTOP


@pytest.fixture
async def document(app: RunningApp) -> dict[str, Any]:
    document: dict[str, Any] = (await app.http.get("/openapi.json")).json()
    return document


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What it takes and what it answers: the status, or `body`, and the content."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield "body", content
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            yield status, content


async def test_it_says_what_it_is_and_under_which_terms(start_app: StartApp) -> None:
    app = await start_app(project_name="Arcade", version="7.1", public_url="https://arcade.example")

    info = (await app.http.get("/openapi.json")).json()["info"]

    assert (info["title"], info["version"], info["license"]["name"]) == ("Arcade", "7.1", "MIT")
    assert info["contact"] == {"name": "Arcade", "url": "https://arcade.example/"}
    assert info["description"]


async def test_it_is_valid_openapi_with_a_described_tag_for_each_operation(document: dict[str, Any]) -> None:
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}

    assert document["openapi"].startswith("3.1")
    assert used == described.keys()
    assert all(len(text) > 20 for text in described.values())
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


async def test_each_operation_has_a_name_for_code_and_words_for_people(document: dict[str, Any]) -> None:
    found = [operation for _, _, operation in operations(document)]
    ids = [operation["operationId"] for operation in found]

    assert len(set(ids)) == len(ids)
    for operation in found:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"])
        assert re.fullmatch(r"[A-Z][a-z ]+", operation["summary"])
        assert operation["description"].endswith(".")


async def test_each_type_that_a_client_gets_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert {"ItemList", "UserList", "FileList", "TaskList", "Credentials", "CredentialsForm"} <= schemas.keys()
    for name, schema in schemas.items():
        assert re.fullmatch("([A-Z][a-z]+)+", name)
        assert schema["title"] == name
    for _, path, operation in operations(document):
        for _, content in contents(operation):
            assert "title" not in content["schema"], path


async def test_a_parameter_is_left_out_and_never_null(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), (path, parameter["name"])


async def test_what_every_answer_has_is_no_optional_field_of_it(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("Message", "Acknowledgement", "TokenResponse", "Alive"):
        assert schemas[name]["required"] == list(schemas[name]["properties"]), name
    assert schemas["ErrorBody"]["properties"].keys() - set(schemas["ErrorBody"]["required"]) == {
        "errors",
        "upstream_status",
    }


async def test_every_example_is_one_of_what_it_exemplifies(document: dict[str, Any]) -> None:
    components = {"components": document["components"]}
    for method, path, operation in operations(document):
        for where, content in contents(operation):
            examples = [example["value"] for example in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            assert examples, (method, path, where)
            for example in examples:
                jsonschema_rs.validate({**content["schema"], **components}, example)


def texts(value: Any) -> Iterator[str]:
    """Every text in an example."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


async def test_each_text_in_an_example_was_chosen_for_its_field(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for where, content in contents(operation):
            assert "…" not in texts(content.get("example")), (method, path, where)


async def test_each_error_names_its_code_and_has_the_one_body(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) < 400 or (path, status) == ("/health/ready", "503"):
                continue
            content = response["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}, (method, path, status)
            for code, example in content["examples"].items():
                assert f"`{code}`" in response["description"]
                assert example["value"]["code"] == code
            if status in ("429", "503"):
                assert "Retry-After" in response["headers"]


async def test_what_every_call_of_its_kind_can_answer_is_there(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        named = {
            (int(status), code)
            for status, response in operation["responses"].items()
            for code in response.get("content", {}).get("application/json", {}).get("examples", {})
        }
        expected = {(431, "headers_too_large"), (500, "internal_error")}
        if "requestBody" in operation:
            expected |= {(400, "malformed_body"), (415, "unsupported_media_type")}
            if (
                "application/offset+octet-stream" not in operation["requestBody"]["content"]
            ):  # which has a limit of its own
                expected |= {(413, "body_too_large")}
        if "requestBody" in operation or "parameters" in operation:
            expected |= {(422, "validation_error")}
        if "security" in operation:
            expected |= {(401, "not_authenticated"), (401, "invalid_token"), (403, "inactive_user")}
        if path.startswith("/api"):
            expected |= {(503, "unavailable")}
        assert expected <= named, (method, path, expected - named)


async def test_every_error_that_was_met_is_documented(app: RunningApp, document: dict[str, Any]) -> None:
    _, ada = await app.user("ada@example.org")
    met = {
        ("post", "/users/"): await app.http.post("/users/", json={"email": "ada@example.org", "password": PASSWORD}),
        ("get", "/users/"): await app.http.get("/users/", headers=ada),
        ("patch", "/users/{user_id}"): await app.http.patch("/users/9", json={}, headers=ada),
        ("delete", "/users/me"): await app.http.request(
            "DELETE", "/users/me", json={"password": "Wrong-Horse-1"}, headers=ada
        ),
        ("post", "/auth/login"): await app.http.post("/auth/login", json={"email": "ada@example.org", "password": "x"}),
        ("post", "/auth/refresh"): await app.http.post("/auth/refresh", json={"refresh_token": "none"}),
        ("post", "/auth/verify-email"): await app.http.post("/auth/verify-email", json={"token": "none"}),
        ("delete", "/auth/sessions/{session_id}"): await app.http.delete("/auth/sessions/none", headers=ada),
        ("get", "/items/{item_id}"): await app.http.get("/items/9", headers=ada),
        ("post", "/files/upload"): await app.http.post("/files/upload", content=b"{}", headers=ada),
        ("get", "/files/{file_id}/content"): await app.http.get("/files/9/content", headers=ada),
        ("get", "/files/{file_id}/shared"): await app.http.get(
            "/files/9/shared", params={"expires": "1", "signature": "none"}
        ),
    }

    for (method, path), response in met.items():
        status, code = outcome(response)
        documented = document["paths"][f"/api/v1{path}"][method]["responses"][str(status)]["content"]
        assert code in documented["application/json"]["examples"], (method, path, status, code)
        jsonschema_rs.validate(
            {"$ref": "#/components/schemas/ErrorBody", "components": document["components"]}, response.json()
        )


SPOKEN_OF = {
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
}
"""The headers that tell something of this answer alone."""


async def test_every_header_that_was_met_is_documented(app: RunningApp, document: dict[str, Any]) -> None:
    _, ada = await app.user("ada@example.org")
    http, once, body = app.http, ada | {"Idempotency-Key": "once"}, {"title": "Milk"}
    upload = await http.post("/files/upload", files={"file": ("tea.txt", b"Earl Grey")}, headers=ada)
    content = f"/files/{upload.json()['id']}/content"
    image = await http.post("/files/upload-image", files={"file": ("dot.png", drawn())}, headers=ada)
    thumbnail = f"/files/{image.json()['id']}/thumbnail"
    met = [
        ("post", "/users/", await http.post("/users/", json={"email": "eve@example.org", "password": PASSWORD})),
        ("get", "/users/me", await http.get("/users/me")),
        ("get", "/users/me", await http.get("/users/me", headers={"Authorization": "Bearer none"})),
        ("post", "/items/", await http.post("/items/", json=body, headers=once)),
        ("post", "/items/", await http.post("/items/", json=body, headers=once)),
        ("get", "/items/{item_id}", await http.get("/items/1", headers=ada)),
        ("get", "/items/{item_id}", await http.get("/items/1", headers=ada | {"If-None-Match": '"1"'})),
        ("patch", "/items/{item_id}", await http.patch("/items/1", json=body, headers=ada)),
        ("post", "/files/upload", upload),
        ("post", "/files/upload-image", image),
        ("get", "/files/{file_id}/content", await http.get(content, headers=ada)),
        ("get", "/files/{file_id}/content", await http.get(content, headers=ada | {"Range": "bytes=0-3"})),
        ("get", "/files/{file_id}/content", await http.get(content, headers=ada | {"Range": "bytes=99-"})),
        ("get", "/files/{file_id}/content", await http.get(content, headers=ada | {"If-None-Match": "*"})),
        ("get", "/files/{file_id}/thumbnail", await http.get(thumbnail, headers=ada)),
        ("get", "/external-data", await http.get("/external-data", headers=ada)),
    ]

    for method, path, response in met:
        documented = document["paths"][f"/api/v1{path}"][method]["responses"][str(response.status_code)]
        sent = {name for name in SPOKEN_OF if name in response.headers}
        assert sent <= documented.get("headers", {}).keys(), (method, path, response.status_code)
        if response.content:
            kind = response.headers["Content-Type"].partition(";")[0]
            assert kind in documented["content"] or "*/*" in documented["content"]


async def test_the_sign_in_that_it_names_works_as_it_says(start_app: StartApp) -> None:
    app = await start_app(api_v1_str="/backend")
    await app.register("ada@example.org")
    document = (await app.at_root.get("/backend/openapi.json")).json()

    flow = document["components"]["securitySchemes"]["bearer"]["flows"]["password"]
    form = {"grant_type": "password", "username": "ada@example.org", "password": PASSWORD}
    pair = (await app.at_root.post(flow["tokenUrl"], data=form)).json()
    me = await app.at_root.get(
        "/backend/users/me", headers={"Authorization": f"{pair['token_type']} {pair['access_token']}"}
    )

    assert me.status_code == 200
    assert document["paths"]["/backend/users/me"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in document["paths"]["/backend/auth/login"]["post"]


@pytest.fixture
async def referenced(app: RunningApp) -> AsyncIterator[Any]:
    """The addresses that a page at the root refers to."""

    async def read(page: str) -> list[str]:
        html = (await app.at_root.get(page)).text
        return re.findall(r"""(?:src|href|spec-url)=["']([^"']+)|url:\s*['"]([^'"]+)""", html)

    yield read


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_all_that_a_page_refers_to_is_served_from_here(app: RunningApp, referenced: Any, page: str) -> None:
    addresses = ["".join(found) for found in await referenced(page)]

    assert "/api/v1/openapi.json" in addresses
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/")
        assert not address.startswith("//")
        assert (await app.at_root.get(address)).status_code == 200, address
