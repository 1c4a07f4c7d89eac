"""Resumable uploads: the tus protocol 1.0.0 (https://tus.io/protocols/resumable-upload), with the extensions creation,
creation-with-upload, checksum, termination and expiration.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from email.utils import format_datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from application.ports.storage import BlobMissing, StorageFull
from application.resumable import (
    ALGORITHMS,
    Checksum,
    CreateResumableUpload,
    GetResumableUpload,
    ReceiveUpload,
    TerminateUpload,
)
from domain.errors import Refusal
from domain.files import FileTooLarge, InvalidFilename, QuotaExceeded, label
from domain.resumable import (
    ChecksumMismatch,
    LongerThanSaid,
    OffsetMismatch,
    ResumableUpload,
    TooManyParts,
    UploadNotFound,
)
from entrypoints.http.bodies import Route, has_body, is_encoded, media_type, not_allowed
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import SIGNED_IN, described, errors
from entrypoints.http.errors import RequestError, answer_to, malformed_body, unsupported_media_type
from entrypoints.http.multipart import IDLE_SECONDS, too_slow
from entrypoints.settings import Settings

VERSION: Final = "1.0.0"
OFFSET_OCTETS: Final = "application/offset+octet-stream"
EXTENSIONS: Final = "creation,creation-with-upload,checksum,termination,expiration"
GREATEST: Final = 2**63 - 1
ENDS_EARLY: Final = "The body ends early"


class TusRoute(APIRoute):
    """Speaks one version of the protocol only, and says so on every answer, errors too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_tus(request: Request) -> Response:
            try:
                if request.method != "OPTIONS" and request.headers.get("tus-resumable") != VERSION:
                    raise unsupported_version()
                response = await handle(request)
            except Exception as error:
                response = await answer_to(request, error)
            response.headers["Tus-Resumable"] = VERSION
            return response

        return handle_tus


router = APIRouter(prefix="/files/resumable", tags=["files"], route_class=TusRoute)


def unsupported_version() -> RequestError:
    return RequestError(
        412, "unsupported_version", f"The Tus-Resumable header must be {VERSION}", {"Tus-Version": VERSION}
    )


def _invalid_header(message: str) -> RequestError:
    return RequestError(400, "invalid_header", message)


def _number(request: Request, name: str) -> int:
    """Raises 400 `invalid_header`."""
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= GREATEST):
        raise _invalid_header(f"{name} must be a whole number")
    return int(text)


def _metadata(text: str) -> Mapping[str, str]:
    """What `Upload-Metadata` says: keys, each with a value in Base64 or none. Raises 400 `invalid_header`."""
    found: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, _, value = pair.partition(" ")
        try:
            decoded = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            raise _invalid_header("The values in Upload-Metadata must be UTF-8 in Base64") from None
        if key in found or not (key.isascii() and key.isprintable()):
            raise _invalid_header("The keys in Upload-Metadata must be ASCII, and each there once")
        found[key] = decoded
    return found


def _checksum(request: Request) -> Checksum | None:
    """Raises 400 `invalid_header`, also for an algorithm that isn't known."""
    if (text := request.headers.get("upload-checksum")) is None:
        return None
    algorithm, _, digest = text.partition(" ")
    try:
        return Checksum(_known(algorithm), base64.b64decode(digest, validate=True))
    except (binascii.Error, ValueError):
        raise _invalid_header(
            f"Upload-Checksum must be an algorithm ({', '.join(ALGORITHMS)}) and a digest in Base64"
        ) from None


def _known(algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise ValueError
    return algorithm


def _must_be_octets(request: Request) -> None:
    if media_type(request) != OFFSET_OCTETS or is_encoded(request):
        raise unsupported_media_type(OFFSET_OCTETS)


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


async def _body(request: Request) -> AsyncIterator[bytes]:
    """Raises 400 `malformed_body` when it ends early, and 408 when nothing comes for 30 seconds."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise too_slow() from None
        except ClientDisconnect:
            raise malformed_body(ENDS_EARLY) from None  # nobody is there to hear it
        if chunk is None:
            return
        yield chunk


def _headers_of(upload: ResumableUpload) -> dict[str, str]:
    headers = {"Upload-Offset": str(upload.offset)}
    if upload.file_id is None:
        headers["Upload-Expires"] = format_datetime(upload.expires_at, usegmt=True)
    else:
        headers["Portico-File-Id"] = str(upload.file_id)
    return headers


UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["0f9c8e7d6b5a49382716f5e4d3c2b1a0"])]
RECEIVED: Final = (QuotaExceeded, StorageFull, ChecksumMismatch, LongerThanSaid, TooManyParts, BlobMissing)


def _tus_errors(*refusals: type[Refusal], body: bool = False) -> dict[int | str, dict[str, Any]]:
    answers = errors(*SIGNED_IN, *refusals, validated=True)
    answers |= {412: described(412, {"unsupported_version": f"The Tus-Resumable header must be {VERSION}"})}
    if body:
        wrong_type = f"The body must be {OFFSET_OCTETS}, without a content encoding"
        malformed = {"malformed_body": ENDS_EARLY, "invalid_header": "Upload-Offset must be a whole number"}
        answers |= {
            400: described(400, malformed),
            408: described(408, {"request_timeout": f"No data came for {IDLE_SECONDS} seconds"}),
            415: described(415, {"unsupported_media_type": wrong_type}),
        }
    return answers


def _answer(description: str, *names: str) -> dict[str, Any]:
    return {"description": description, "headers": {name: {"schema": {"type": "string"}} for name in names}}


def _said(*names: str, body: bool = False, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the OpenAPI document says of the request."""
    parameters = [
        {
            "name": name,
            "in": "header",
            "required": name in required,
            "schema": {"type": "string"},
            "example": EXAMPLES[name],
        }
        for name in names
    ]
    content = {OFFSET_OCTETS: {"schema": {"type": "string", "format": "binary", "examples": ["the next bytes"]}}}
    return {"parameters": parameters} | ({"requestBody": {"content": content}} if body else {})


EXAMPLES: Final = {
    "Tus-Resumable": VERSION,
    "Upload-Length": "1073741824",
    "Upload-Offset": "0",
    "Upload-Metadata": "filename cmVwb3J0LnBkZg==,filetype YXBwbGljYXRpb24vcGRm",
    "Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
}


@router.options(
    "/", status_code=204, response_class=Response, responses=errors() | {204: _answer("What is spoken here.")}
)
@router.options("/{upload_id}", include_in_schema=False, status_code=204, response_class=Response)
async def get_upload_options(settings: Annotated[Settings, use("settings")]) -> Response:
    """What of the tus protocol is spoken here."""
    return Response(
        status_code=204,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(settings.max_upload_bytes),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        },
    )


router.add_api_route("/", not_allowed, methods=["GET", "DELETE"], include_in_schema=False, route_class_override=Route)


@router.post(
    "/",
    status_code=201,
    response_class=Response,
    responses=_tus_errors(FileTooLarge, *RECEIVED, body=True)
    | {201: _answer("The upload is begun.", "Location", "Upload-Offset", "Upload-Expires", "Portico-File-Id")},
    openapi_extra=_said(
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Metadata",
        "Upload-Checksum",
        body=True,
        required=("Tus-Resumable", "Upload-Length"),
    ),
)
async def create_upload(
    request: Request,
    actor: CurrentActor,
    create: Annotated[CreateResumableUpload, use("create_upload")],
    receive: Annotated[ReceiveUpload, use("receive_upload")],
    terminate: Annotated[TerminateUpload, use("terminate_upload")],
) -> Response:
    """Begin an upload (tus). `Upload-Metadata` names the file; a body is the first bytes of it."""
    length, said = _number(request, "Upload-Length"), request.headers.get("upload-metadata", "")
    metadata, checksum = _metadata(said), _checksum(request)
    if has_body(request):
        _must_be_octets(request)
    try:
        filename = label(metadata.get("filename", ""))
    except InvalidFilename as error:
        raise RequestValidationError(
            [{"loc": ("header", "Upload-Metadata"), "msg": str(error), "type": "filename"}]
        ) from None
    upload = await create(
        actor, length=length, filename=filename, declared_type=metadata.get("filetype"), metadata=said
    )
    if has_body(request) or length == 0:
        try:
            upload = await receive(
                actor, upload.id, offset=0, chunks=_body(request), declared=_declared(request), checksum=checksum
            )
        except Exception:
            with suppress(Refusal):  # else it expires
                await terminate(actor, upload.id)
            raise
    return Response(status_code=201, headers={"Location": f"{request.scope['path']}{upload.id}", **_headers_of(upload)})


@router.head(
    "/{upload_id}",
    response_class=Response,
    responses=_tus_errors(UploadNotFound)
    | {200: _answer("How far it is.", "Upload-Offset", "Upload-Length", "Upload-Expires", "Portico-File-Id")},
    openapi_extra=_said("Tus-Resumable", required=("Tus-Resumable",)),
)
async def get_upload(
    upload_id: UploadId, actor: CurrentActor, get: Annotated[GetResumableUpload, use("get_upload")]
) -> Response:
    """How far one of one's own uploads is (tus)."""
    upload = await get(actor, upload_id)
    headers = _headers_of(upload) | {"Upload-Length": str(upload.length), "Cache-Control": "no-store"}
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    return Response(headers=headers)


@router.patch(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    responses=_tus_errors(UploadNotFound, OffsetMismatch, *RECEIVED, body=True)
    | {204: _answer("The bytes are kept.", "Upload-Offset", "Upload-Expires", "Portico-File-Id")},
    openapi_extra=_said(
        "Tus-Resumable", "Upload-Offset", "Upload-Checksum", body=True, required=("Tus-Resumable", "Upload-Offset")
    ),
)
async def continue_upload(
    request: Request,
    upload_id: UploadId,
    actor: CurrentActor,
    receive: Annotated[ReceiveUpload, use("receive_upload")],
) -> Response:
    """Go on with one of one's own uploads (tus). When the last byte has come, it is a file."""
    _must_be_octets(request)
    upload = await receive(
        actor,
        upload_id,
        offset=_number(request, "Upload-Offset"),
        chunks=_body(request),
        declared=_declared(request),
        checksum=_checksum(request),
    )
    return Response(status_code=204, headers=_headers_of(upload))


@router.delete(
    "/{upload_id}",
    status_code=204,
    responses=_tus_errors(UploadNotFound),
    openapi_extra=_said("Tus-Resumable", required=("Tus-Resumable",)),
)
async def terminate_upload(
    upload_id: UploadId, actor: CurrentActor, terminate: Annotated[TerminateUpload, use("terminate_upload")]
) -> Response:
    """Give up one of one's own uploads (tus). A file that it has become stays."""
    await terminate(actor, upload_id)
    return Response(status_code=204)


@router.post("/{upload_id}", include_in_schema=False, response_class=Response)
async def do_with_upload(
    *,
    request: Request,
    upload_id: UploadId,
    actor: CurrentActor,
    get: Annotated[GetResumableUpload, use("get_upload")],
    receive: Annotated[ReceiveUpload, use("receive_upload")],
    terminate: Annotated[TerminateUpload, use("terminate_upload")],
) -> Response:
    """What `X-HTTP-Method-Override` names, for clients that know no PATCH and no DELETE."""
    match request.headers.get("x-http-method-override"):
        case "PATCH":
            return await continue_upload(request, upload_id, actor, receive)
        case "DELETE":
            return await terminate_upload(upload_id, actor, terminate)
        case "HEAD":
            return await get_upload(upload_id, actor, get)
    raise HTTPException(405)
