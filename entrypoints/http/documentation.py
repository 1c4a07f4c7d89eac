"""The OpenAPI document, and what routes say in it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NotRequired

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from application.ports.storage import StorageFull
from domain.errors import Refusal, TooManyAttempts, Unavailable
from domain.idempotency import IdempotencyInProgress
from domain.partner import ExternalApiError
from domain.sessions import InvalidAccessToken, NotAuthenticated
from domain.users import InactiveUser
from entrypoints.http.errors import FieldError, headers_too_large, internal_error, status_of

SIGNED_IN: Final = (NotAuthenticated, InvalidAccessToken, InactiveUser)
"""What every call that wants a signed-in user can answer."""

GENERAL: Final = {error.status_code: {error.code: error.detail} for error in (headers_too_large(), internal_error())}
"""What every operation can answer."""

PLAIN_EXAMPLES: Final[Mapping[str, Any]] = {
    "integer": 1,
    "boolean": True,
    "string": "…",
    "date-time": "2026-11-24T09:30:00Z",
    "null": None,
}
"""Examples of fields that name none, by format or else by type."""

RETRY_AFTER: Final = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
"""The header, where the same request may do better later."""

INVALID_KEY: Final = "The Idempotency-Key must be 1 to 255 visible ASCII characters"

TAGS: Final = [
    {"name": "users", "description": "Accounts: opening one, looking after one's own, and administering all of them."},
    {"name": "auth", "description": "Signing in and out, sessions, and everything about passwords and addresses."},
    {"name": "items", "description": "The model of an owned resource: each user has their own."},
    {"name": "files", "description": "Files of any size: uploading, listing, and giving their content out again."},
    {"name": "tasks", "description": "Work that outlives the request: started, looked at, cancelled."},
    {"name": "mail", "description": "Mail that a superuser writes, sent in the background."},
    {"name": "partner", "description": "What the partner's API knows, fetched by Portico."},
    {"name": "operations", "description": "For those who run Portico: health, metrics and the public keys."},
]


SCHEMAS: Final = "#/components/schemas/"
ERROR_BODY: Final = f"{SCHEMAS}ErrorBody"
"""Named, not given as a model: FastAPI would make a validator of it for every error of every route."""


class ErrorBody(TypedDict):
    """Every error has this body. Only a 422 has `errors`, only a 502 `upstream_status`."""

    success: Literal[False]
    message: str
    code: str
    path: str
    request_id: str
    errors: NotRequired[list[FieldError]]
    upstream_status: NotRequired[int]


class ResponseModel(BaseModel):
    """An answer: each of its fields is always there, so the document says so of those with a default, too."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Acknowledgement(ResponseModel):
    """What an operation answers whose effect follows later."""

    success: Literal[True] = True
    message: Annotated[str, Field(examples=["Ping recorded"])]


class Message(ResponseModel):
    """What an operation answers that returns no resource."""

    success: Literal[True] = True
    message: Annotated[str, Field(examples=["Done"])]
    data: None = None


def _example(code: str, message: str) -> dict[str, Any]:
    example: dict[str, Any] = {
        "success": False,
        "message": message,
        "code": code,
        "path": "/api/v1/…",
        "request_id": "5f3c…",
    }
    if code == "validation_error":
        example["errors"] = [{"field": "body.email", "message": "Field required", "type": "missing"}]
    if code == ExternalApiError.code:
        example["upstream_status"] = 500
    return {"summary": message, "value": example}


def errors(
    *refusals: type[Refusal],
    json_body: bool = False,
    form: bool = False,
    validated: bool = False,
    idempotent: bool = False,
) -> dict[int | str, dict[str, Any]]:
    """The errors that an operation can answer, by status, each with its code. Any of them may answer 503."""
    found: dict[int, dict[str, str]] = {}
    everything: tuple[type[Refusal], ...] = (*refusals, Unavailable)
    for refusal in everything:
        found.setdefault(status_of(refusal), {})[refusal.code] = refusal.message
    if json_body:
        found.setdefault(400, {})["malformed_body"] = "The body is not valid JSON"
        found[415] = {"unsupported_media_type": "The body must be application/json, without a content encoding"}
    if form:
        found.setdefault(400, {})["malformed_body"] = "The body is not a valid multipart form"
        found.setdefault(415, {})["unsupported_media_type"] = (
            "The body must be multipart/form-data, without a content encoding"
        )
    if json_body or form:
        found[408] = {"request_timeout": "No data came for 30 seconds"}
        found.setdefault(413, {})["body_too_large"] = "The body exceeds 1048576 bytes"
    if idempotent:
        found.setdefault(400, {})["invalid_idempotency_key"] = INVALID_KEY
    if json_body or form or validated:
        found.setdefault(422, {})["validation_error"] = "Validation error"
    return {status: described(status, codes) for status, codes in sorted(found.items())}


def described(status: int, codes: Mapping[str, str]) -> dict[str, Any]:
    """An error in the document: its status, and its codes with their messages."""
    examples = {code: _example(code, message) for code, message in codes.items()}
    answer: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {message}" for code, message in codes.items()),
        "content": {"application/json": {"schema": {"$ref": ERROR_BODY}, "examples": examples}},
    }
    to_be_asked_again = (status_of(TooManyAttempts), status_of(Unavailable), status_of(StorageFull))
    if status in to_be_asked_again or IdempotencyInProgress.code in codes:
        answer["headers"] = RETRY_AFTER
    if InvalidAccessToken.code in codes:
        answer["headers"] = named_headers(
            **{"WWW-Authenticate": "`Bearer`, and what is wrong with the token (RFC 6750)."}
        )
    return answer


def named_headers(**descriptions: str) -> dict[str, Any]:
    """Headers of an answer in the document, each with what it says."""
    return {name: {"schema": {"type": "string"}, "description": text} for name, text in descriptions.items()}


def openapi_of(app: FastAPI, server_prefix: str) -> Callable[[], dict[str, Any]]:
    """What makes the document, once: FastAPI's own, completed."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                contact=app.contact,
                license_info=app.license_info,
                tags=TAGS,
                routes=app.routes,
            )
            document["components"]["schemas"] |= _error_schemas()
            _name_bodies(document)
            document = _with_readable_names(document)
            scheme = document["components"]["securitySchemes"]["bearer"]
            scheme["flows"]["password"]["tokenUrl"] = f"{server_prefix}/auth/login"
            _drop_unused(document, ("HTTPValidationError", "ValidationError"))
            for operation in _operations(document):
                _complete(operation, document["components"]["schemas"])
            app.openapi_schema = document
        return app.openapi_schema

    return openapi


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _complete(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Add what every operation can answer, and examples of its body and its answers."""
    operation["summary"] = operation["operationId"].replace("_", " ").capitalize()
    general = {str(status): described(status, codes) for status, codes in GENERAL.items()}
    responses = operation["responses"] = dict(sorted((general | operation["responses"]).items()))
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    for answer in (operation.get("requestBody", {}), *responses.values()):
        for content in answer.get("content", {}).values():
            content.get("schema", {}).pop("title", None)  # made of the operation's name and its path
            if "schema" in content and not content.keys() & {"example", "examples"}:
                content["example"] = _example_of(content["schema"], schemas)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What is said of a parameter that may be left out: it can't be null, though a body's field could."""
    possible = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return {**schema, **possible[0]} if len(possible) == 1 and schema.pop("anyOf") else schema


def _name_bodies(document: dict[str, Any]) -> None:
    """Put the schemas of bodies that a route names among the components, so that clients get a type of that name."""
    for operation in _operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if "title" in content["schema"]:
                name = content["schema"]["title"]
                document["components"]["schemas"][name] = content["schema"]
                content["schema"] = {"$ref": f"{SCHEMAS}{name}"}


def _with_readable_names(document: dict[str, Any]) -> dict[str, Any]:
    """The document with each schema under its title: `ItemList`, where pydantic says `ListResponse_ItemResponse_`."""
    text = json.dumps(document)
    for name, schema in document["components"]["schemas"].items():
        if (title := schema.get("title", name)) != name:
            text = text.replace(f'"{SCHEMAS}{name}"', f'"{SCHEMAS}{title}"')
    renamed: dict[str, Any] = json.loads(text)
    schemas = renamed["components"]["schemas"]
    renamed["components"]["schemas"] = {schema.get("title", name): schema for name, schema in schemas.items()}
    return renamed


def _example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """An example of the whole, put together of those of its parts."""
    while "$ref" in schema or ("anyOf" in schema and "examples" not in schema):
        schema = schemas[schema["$ref"].removeprefix(SCHEMAS)] if "$ref" in schema else schema["anyOf"][0]
    for given in ("examples", "enum"):
        if given in schema:
            return schema[given][0]
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    if schema["type"] == "object":
        return {name: _example_of(field, schemas) for name, field in schema.get("properties", {}).items()}
    if schema["type"] == "array":
        return [_example_of(schema["items"], schemas)]
    return PLAIN_EXAMPLES[schema.get("format", schema["type"])]


def _error_schemas() -> dict[str, Any]:
    """The schemas of an error's body and of what it consists of."""
    body = TypeAdapter(ErrorBody).json_schema(mode="serialization", ref_template=f"{SCHEMAS}{{model}}")
    return {**body.pop("$defs"), "ErrorBody": body}


def _drop_unused(document: dict[str, Any], names: Sequence[str]) -> None:
    """Take the framework's own error schemas out where nothing refers to them any more."""
    for name in names:
        text = repr(document)
        if text.count(f"{SCHEMAS}{name}'") == 0:
            document["components"]["schemas"].pop(name, None)
