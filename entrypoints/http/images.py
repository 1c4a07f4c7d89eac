"""Images over HTTP: files that are looked at, and their thumbnails."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from application.images import StoreImage
from application.ports.storage import StorageFull
from application.thumbnails import OpenThumbnail
from domain.files import FileNotFound, FileTooLarge, QuotaExceeded
from domain.images import FileTypeNotAllowed, InvalidImage, ThumbnailSize
from entrypoints.http.bodies import Route, not_allowed
from entrypoints.http.content import Conditions, answers, serve
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import SIGNED_IN, errors
from entrypoints.http.fields import IdInPath
from entrypoints.http.files import CREATED, FileResponse
from entrypoints.http.multipart import FILE, form_of, uploads
from entrypoints.settings import Settings

router = APIRouter(prefix="/files", tags=["files"], route_class=Route)


@router.post(
    "/upload-image",
    status_code=201,
    responses=errors(*SIGNED_IN, FileTooLarge, QuotaExceeded, FileTypeNotAllowed, InvalidImage, StorageFull, form=True)
    | CREATED,
    openapi_extra=form_of("file", FILE),
)
async def upload_image(
    request: Request,
    response: Response,
    actor: CurrentActor,
    settings: Annotated[Settings, use("settings")],
    store: Annotated[StoreImage, use("store_image")],
) -> FileResponse:
    """Store an image: a JPEG, PNG, GIF or WebP that is what its name says."""
    file = await store(actor, uploads(request, "file", most=1, limit=settings.max_image_bytes))
    response.headers["Location"] = f"{settings.api_v1_str}/files/{file.id}"
    return FileResponse.of(file, settings.api_v1_str)


router.add_api_route("/upload-image", not_allowed, methods=["GET", "DELETE"], include_in_schema=False)


@router.head("/{file_id}/thumbnail", include_in_schema=False)
@router.get(
    "/{file_id}/thumbnail",
    response_class=Response,
    dependencies=[Conditions],
    responses=answers(*SIGNED_IN, FileNotFound, InvalidImage, StorageFull, types=("image/webp",)),
)
async def get_thumbnail(
    request: Request,
    file_id: IdInPath,
    actor: CurrentActor,
    open_thumbnail: Annotated[OpenThumbnail, use("open_thumbnail")],
    size: Annotated[ThumbnailSize, Query(description="The side of the square that it fits, in pixels.")] = (
        ThumbnailSize.MEDIUM
    ),
) -> Response:
    """A small WebP of one's own image: upright, without metadata, of a film the first frame."""
    return serve(request, await open_thumbnail(actor, file_id, size), inline=True)
