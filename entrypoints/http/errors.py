"""Every error's body, in one shape, or as RFC 9457 for those who ask for it."""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from application.correlation import request_id
from application.ports.storage import StorageFull
from domain.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Refusal,
    TooLarge,
    TooManyAttempts,
    Unauthenticated,
    Unavailable,
    UnsupportedType,
    UpstreamError,
)
from domain.idempotency import IdempotencyInProgress
from domain.mailed_tokens import InvalidMailedToken
from domain.resumable import ChecksumMismatch
from domain.sessions import InvalidAccessToken, NotAuthenticated

STATUS: Final[Mapping[type[Refusal], int]] = {
    InvalidMailedToken: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    UnsupportedType: 415,
    Invalid: 422,
    TooManyAttempts: 429,
    UpstreamError: 502,
    ChecksumMismatch: 460,
    Unavailable: 503,
    StorageFull: 507,
}
"""What each kind of refusal is in HTTP."""

PHRASES: Final[Mapping[int, str]] = {460: "Checksum Mismatch"}
"""Of statuses that are not registered: this one is tus's own."""

CODES: Final[Mapping[int, str]] = {404: "not_found", 405: "method_not_allowed"}
"""The codes of errors that the framework finds by itself."""

CHALLENGES: Final[Mapping[type[Refusal], str]] = {
    NotAuthenticated: "Bearer",
    InvalidAccessToken: 'Bearer error="invalid_token"',
}
"""`WWW-Authenticate`, as RFC 6750 section 3 wants it."""

PROBLEM: Final = "application/problem+json"
MOST_FIELDS: Final = 100
"""Errors that are listed: a body of 1 MiB has room for 100,000 unknown fields."""
MOST_HEADER_BYTES: Final = 32 * 1024
"""Names and values of all headers of a request together."""
LONGEST_FIELD: Final = 100
"""Characters of a field's name that are shown: an unknown one is the client's own text."""


class RequestError(HTTPException):
    """A request that can't be taken as it is, found before any use case is asked."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


def malformed_body(message: str = "The body is not valid JSON") -> RequestError:
    return RequestError(400, "malformed_body", message)


def unsupported_media_type(wanted: str) -> RequestError:
    return RequestError(415, "unsupported_media_type", f"The body must be {wanted}, without a content encoding")


def body_too_large(limit: int) -> RequestError:
    return RequestError(413, "body_too_large", f"The body exceeds {limit} bytes")


def headers_too_large() -> RequestError:
    return RequestError(431, "headers_too_large", f"The headers exceed {MOST_HEADER_BYTES} bytes")


def internal_error() -> RequestError:
    return RequestError(500, "internal_error", "Something went wrong on our side")


class FieldError(BaseModel):
    field: str
    message: str
    type: str


def status_of(refusal: type[Refusal]) -> int:
    """The status of a refusal, by its kind."""
    return next(STATUS[kind] for kind in refusal.__mro__ if kind in STATUS)


def error_response(
    request: HTTPConnection,
    status: int,
    code: str,
    message: str,
    *,
    errors: Sequence[FieldError] = (),
    upstream_status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The error in the form that the client accepts."""
    path = request.scope.get("asked_path", request.scope["path"])
    more: dict[str, Any] = {"errors": [error.model_dump() for error in errors]} if errors else {}
    if upstream_status is not None:
        more["upstream_status"] = upstream_status
    if _wants_problem(",".join(request.headers.getlist("accept"))):
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": PHRASES.get(status) or HTTPStatus(status).phrase,
            "status": status,
            "detail": message,
            "instance": path,
            "code": code,
        }
        media_type = PROBLEM
    else:
        body = {"success": False, "message": message, "code": code, "path": path}
        media_type = "application/json"
    body |= {"request_id": request_id.get(), **more}
    return Response(json.dumps(body, ensure_ascii=False, separators=(",", ":")), status, headers, media_type)


def _wants_problem(accept: str) -> bool:
    """Whether this list of media types names that of problem documents, and not as one to be spared (`q=0`)."""
    for listed in accept.lower().split(","):
        name, *parameters = (part.strip() for part in listed.split(";"))
        if name == PROBLEM:
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {}
    if challenge := CHALLENGES.get(type(error)):
        headers["WWW-Authenticate"] = challenge
    if isinstance(error, TooManyAttempts | Unavailable | IdempotencyInProgress):
        headers["Retry-After"] = str(error.retry_after)
    errors = []
    if isinstance(error, Invalid):
        errors = [FieldError(field="body", message=str(error), type=error.code)]
    return error_response(
        request,
        status_of(type(error)),
        error.code,
        str(error),
        errors=errors,
        upstream_status=error.upstream_status if isinstance(error, UpstreamError) else None,
        headers=headers,
    )


def words_of(error: Mapping[str, Any]) -> str:
    """What is wrong with a value, for people. The length of a text that is checked otherwise, too, pydantic counts in
    items."""
    limits = error.get("ctx", {})
    if error["type"] == "too_short" and limits.get("field_type") == "Value":
        return f"Text should have {limits['min_length']} or more characters"
    if error["type"] == "too_long" and limits.get("field_type") == "Value":
        return f"Text should have at most {limits['max_length']} characters"
    return str(error["msg"]).removeprefix("Value error, ")


def _field_error(error: Mapping[str, Any]) -> FieldError:
    field = ".".join(str(part) for part in error["loc"])
    return FieldError(
        field=field.encode("utf-8", "replace").decode()[:LONGEST_FIELD], message=words_of(error), type=error["type"]
    )


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_field_error(one) for one in error.errors()[:MOST_FIELDS]]
    return error_response(request, 422, "validation_error", "Validation error", errors=errors)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    if isinstance(error, RequestError):
        code, message = error.code, error.detail
    else:
        code = CODES.get(error.status_code, phrase.lower().replace(" ", "_"))
        message = phrase.capitalize()
    headers = error.headers
    if error.status_code == 405 and not isinstance(
        error, RequestError
    ):  # the framework names the methods of the first route that has this path
        headers = {"Allow": ", ".join(sorted(request.app.state.methods[request.scope["route"].path]))}
    return error_response(request, error.status_code, code, message, headers=headers)


HANDLERS: Final = {Refusal: _refused, RequestValidationError: _invalid, HTTPException: _failed}


async def answer_to(request: Request, error: Exception) -> Response:
    """What the app answers when this is raised; anything that it knows no answer to is raised again."""
    for kind, handle in HANDLERS.items():
        if isinstance(error, kind):
            return await handle(request, error)
    raise error


def add_error_handlers(app: FastAPI) -> None:
    """Make the app answer every refusal and every error that the framework raises in the one shape."""
    for kind, handle in HANDLERS.items():
        app.add_exception_handler(kind, handle)
