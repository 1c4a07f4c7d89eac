"""Resumable uploads over HTTP, by the tus protocol 1.0.0."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from application.ports.storage import BlobMissing, StorageFull
from application.resumable import GetResumableUpload, ReceiveUpload
from application.resumable_creation import BeginUpload
from application.resumable_removal import TerminateUpload
from domain.files import FileTooLarge, InvalidFilename, QuotaExceeded
from domain.resumable import (
    ALGORITHMS,
    ChecksumMismatch,
    LongerThanSaid,
    OffsetMismatch,
    TooManyParts,
    UploadNotFound,
)
from entrypoints.http.bodies import Route, declared_length, has_body, not_allowed, upload_of
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import errors
from entrypoints.http.tus import (
    EXTENSIONS,
    VERSION,
    TusRoute,
    answer,
    checksum_of,
    headers_of,
    metadata_in,
    must_be_octets,
    said_of_request,
    tus_errors,
    whole_number,
)
from entrypoints.settings import Settings

router = APIRouter(prefix="/files/resumable", tags=["files"], route_class=TusRoute)


UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["0f9c8e7d6b5a49382716f5e4d3c2b1a0"])]
RECEIVED: Final = (QuotaExceeded, StorageFull, ChecksumMismatch, LongerThanSaid, TooManyParts, BlobMissing)


@router.options(
    "/", status_code=204, response_class=Response, responses=errors() | {204: answer("What is spoken here.")}
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
    responses=tus_errors(FileTooLarge, *RECEIVED, body=True)
    | {201: answer("The upload is begun.", "Location", "Upload-Offset", "Upload-Expires", "Portico-File-Id")},
    openapi_extra=said_of_request(
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Metadata",
        "Upload-Checksum",
        body=True,
        required=("Tus-Resumable", "Upload-Length"),
    ),
)
async def create_upload(
    request: Request, actor: CurrentActor, begin: Annotated[BeginUpload, use("begin_upload")]
) -> Response:
    """Begin an upload (tus). `Upload-Metadata` names the file; a body is the first bytes of it."""
    length, said = whole_number(request, "Upload-Length"), request.headers.get("upload-metadata", "")
    metadata, checksum = metadata_in(said), checksum_of(request)
    if has_body(request):
        must_be_octets(request)
    try:
        upload = await begin(
            actor,
            length=length,
            filename=metadata.get("filename", ""),
            declared_type=metadata.get("filetype"),
            metadata=said,
            chunks=upload_of(request) if has_body(request) else None,
            declared=declared_length(request),
            checksum=checksum,
        )
    except InvalidFilename as error:
        raise RequestValidationError(
            [{"loc": ("header", "Upload-Metadata"), "msg": str(error), "type": "filename"}]
        ) from None
    return Response(status_code=201, headers={"Location": f"{request.scope['path']}{upload.id}", **headers_of(upload)})


@router.head(
    "/{upload_id}",
    response_class=Response,
    responses=tus_errors(UploadNotFound)
    | {200: answer("How far it is.", "Upload-Offset", "Upload-Length", "Upload-Expires", "Portico-File-Id")},
    openapi_extra=said_of_request("Tus-Resumable", required=("Tus-Resumable",)),
)
async def get_upload(
    upload_id: UploadId, actor: CurrentActor, get: Annotated[GetResumableUpload, use("get_upload")]
) -> Response:
    """How far one of one's own uploads is (tus)."""
    upload = await get(actor, upload_id)
    headers = headers_of(upload) | {"Upload-Length": str(upload.length), "Cache-Control": "no-store"}
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    return Response(headers=headers)


@router.patch(
    "/{upload_id}",
    status_code=204,
    response_class=Response,
    responses=tus_errors(UploadNotFound, OffsetMismatch, *RECEIVED, body=True)
    | {204: answer("The bytes are kept.", "Upload-Offset", "Upload-Expires", "Portico-File-Id")},
    openapi_extra=said_of_request(
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
    must_be_octets(request)
    upload = await receive(
        actor,
        upload_id,
        offset=whole_number(request, "Upload-Offset"),
        chunks=upload_of(request),
        declared=declared_length(request),
        checksum=checksum_of(request),
    )
    return Response(status_code=204, headers=headers_of(upload))


@router.delete(
    "/{upload_id}",
    status_code=204,
    responses=tus_errors(UploadNotFound),
    openapi_extra=said_of_request("Tus-Resumable", required=("Tus-Resumable",)),
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
