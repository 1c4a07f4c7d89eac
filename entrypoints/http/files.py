"""Files over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from application.files import DeleteFile, GetFile, ListFiles, OpenFile, OpenNewest
from application.ports.storage import StorageFull
from application.uploads import MOST_FILES, StoreFiles
from domain.files import File, FileNotFound, FileTooLarge, QuotaExceeded, label
from domain.images import ImageInfo
from entrypoints.http.bodies import Route, not_allowed
from entrypoints.http.content import Conditions, Inline, answers, serve
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import SIGNED_IN, errors, named_headers
from entrypoints.http.fields import IdInPath, Text
from entrypoints.http.lists import ListResponse, PageParameters
from entrypoints.http.multipart import FILE, form_of, uploads
from entrypoints.settings import Settings

router = APIRouter(prefix="/files", tags=["files"], route_class=Route)

FILENAME: Final = "report.pdf"


class ImageResponse(BaseModel):
    """An image's size in pixels, as it is shown."""

    width: Annotated[int, Field(examples=[640])]
    height: Annotated[int, Field(examples=[480])]
    format: Annotated[str, Field(examples=["png"])]

    @classmethod
    def of(cls, image: ImageInfo) -> "ImageResponse":
        return cls(width=image.width, height=image.height, format=image.format)


class FileResponse(BaseModel):
    id: int
    filename: Annotated[str, Field(examples=[FILENAME])]
    content_type: Annotated[str, Field(examples=["application/pdf"])]
    size: Annotated[int, Field(examples=[48213], description="Bytes.")]
    sha256: Annotated[str, Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])]
    owner_id: int
    location: Annotated[str, Field(examples=["/api/v1/files/1/content"], description="The path of its content.")]
    image: ImageResponse | None
    created_at: datetime

    @classmethod
    def of(cls, file: File, api: str) -> "FileResponse":
        """`api` is the path that the API is under."""
        return cls(
            id=file.id,
            filename=file.filename,
            content_type=file.content_type,
            size=file.size,
            sha256=file.sha256,
            owner_id=file.owner_id,
            location=f"{api}/files/{file.id}/content",
            image=ImageResponse.of(file.image) if file.image else None,
            created_at=file.created_at,
        )


class FilesResponse(BaseModel):
    files: list[FileResponse]
    filenames: Annotated[list[str], Field(examples=[[FILENAME]])]
    count: Annotated[int, Field(examples=[1])]


async def _api(settings: Annotated[Settings, use("settings")]) -> str:
    return settings.api_v1_str


Api = Annotated[str, Depends(_api)]
"""The path that the API is under."""
CREATED: Final[dict[int | str, dict[str, Any]]] = {201: {"headers": named_headers(Location="The path of the file.")}}
UPLOADED: Final = errors(*SIGNED_IN, FileTooLarge, QuotaExceeded, StorageFull, form=True)


@router.post(
    "/upload",
    status_code=201,
    responses=UPLOADED | CREATED,
    openapi_extra=form_of("file", FILE),
)
async def upload_file(
    request: Request,
    response: Response,
    actor: CurrentActor,
    settings: Annotated[Settings, use("settings")],
    store: Annotated[StoreFiles, use("store_files")],
) -> FileResponse:
    """Store a file. It streams: of any size, and refused as soon as it is too large."""
    (file,) = await store(actor, uploads(request, "file", most=1, limit=settings.max_upload_bytes))
    response.headers["Location"] = f"{settings.api_v1_str}/files/{file.id}"
    return FileResponse.of(file, settings.api_v1_str)


@router.post(
    "/upload-multiple",
    status_code=201,
    responses=UPLOADED,
    openapi_extra=form_of("files", {"type": "array", "items": FILE, "minItems": 1, "maxItems": MOST_FILES}),
)
async def upload_files(
    request: Request,
    actor: CurrentActor,
    settings: Annotated[Settings, use("settings")],
    store: Annotated[StoreFiles, use("store_files")],
) -> FilesResponse:
    """Store 1 to 20 files: all of them or none."""
    files = await store(actor, uploads(request, "files", most=MOST_FILES, limit=settings.max_upload_bytes))
    return FilesResponse(
        files=[FileResponse.of(file, settings.api_v1_str) for file in files],
        filenames=[file.filename for file in files],
        count=len(files),
    )


for _path in ("/upload", "/upload-multiple"):
    router.add_api_route(_path, not_allowed, methods=["GET", "DELETE"], include_in_schema=False)


@router.get("/", responses=errors(*SIGNED_IN, validated=True))
async def list_files(
    actor: CurrentActor, api: Api, paging: PageParameters, list_them: Annotated[ListFiles, use("list_files")]
) -> ListResponse[FileResponse]:
    """One's own files, newest first."""
    listed = ("files", f"{actor.user.id}")
    page = await list_them(actor, paging.request(*listed))
    return paging.response(page, [FileResponse.of(file, api) for file in page.items], *listed)


@router.head("/download/{filename}", include_in_schema=False)
@router.get(
    "/download/{filename}",
    response_class=Response,
    dependencies=[Conditions],
    responses=answers(*SIGNED_IN, FileNotFound),
)
async def download_file(
    request: Request,
    actor: CurrentActor,
    filename: Annotated[Text, AfterValidator(label), Path(examples=[FILENAME])],
    open_newest: Annotated[OpenNewest, use("open_newest")],
    inline: Inline = False,
) -> Response:
    """The content of one's own newest file of that name."""
    return serve(request, await open_newest(actor, filename), inline=inline)


@router.get("/{file_id}", responses=errors(*SIGNED_IN, FileNotFound, validated=True))
async def get_file(
    file_id: IdInPath, actor: CurrentActor, api: Api, get: Annotated[GetFile, use("get_file")]
) -> FileResponse:
    """One of one's own files."""
    return FileResponse.of(await get(actor, file_id), api)


@router.delete("/{file_id}", status_code=204, responses=errors(*SIGNED_IN, FileNotFound, validated=True))
async def delete_file(
    file_id: IdInPath, actor: CurrentActor, delete: Annotated[DeleteFile, use("delete_file")]
) -> None:
    """Delete one of one's own files. Its bytes go too, once no other file has the same."""
    await delete(actor, file_id)


@router.head("/{file_id}/content", include_in_schema=False)
@router.get(
    "/{file_id}/content",
    response_class=Response,
    dependencies=[Conditions],
    responses=answers(*SIGNED_IN, FileNotFound),
)
async def get_content(
    request: Request,
    file_id: IdInPath,
    actor: CurrentActor,
    open_file: Annotated[OpenFile, use("open_file")],
    inline: Inline = False,
) -> Response:
    """The content of one of one's own files."""
    return serve(request, await open_file(actor, file_id), inline=inline)
