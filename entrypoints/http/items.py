"""Items over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field

from application.items import CreateItem, DeleteItem, EditItem, GetItem, ListItems
from domain.items import (
    LONGEST_DESCRIPTION,
    LONGEST_TITLE,
    Item,
    ItemChange,
    ItemNotFound,
    ItemSort,
    VersionMismatch,
    valid_description,
    valid_title,
)
from domain.users import NotEnoughPrivileges
from entrypoints.http.bodies import Route
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import SIGNED_IN, errors, named_headers
from entrypoints.http.fields import IdInPath, IdInQuery, RequestModel, Text
from entrypoints.http.idempotency import IDEMPOTENT, REPLAYED, Once
from entrypoints.http.lists import ListResponse, PageParameters, SearchWords
from entrypoints.http.preconditions import IfMatch, IfNoneMatch, entity_tag

router = APIRouter(prefix="/items", tags=["items"], route_class=Route)

Title = Annotated[
    Text,
    AfterValidator(valid_title),
    Field(examples=["Buy milk"], json_schema_extra={"minLength": 1, "maxLength": LONGEST_TITLE, "pattern": r"\S"}),
]
Description = Annotated[
    Text, AfterValidator(valid_description), Field(json_schema_extra={"maxLength": LONGEST_DESCRIPTION})
]


class ItemResponse(BaseModel):
    id: int
    title: Annotated[str, Field(examples=["Buy milk"])]
    description: Annotated[str | None, Field(examples=["Two litres"])]
    owner_id: int
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, item: Item) -> "ItemResponse":
        return cls(
            id=item.id,
            title=item.title,
            description=item.description,
            owner_id=item.owner_id,
            version=item.version,
            created_at=item.created_at,
            updated_at=item.updated_at,
        )


class ItemBody(RequestModel):
    title: Title
    description: Annotated[Description | None, Field(examples=["Two litres"])] = None


class ItemPatch(RequestModel):
    """What is left out stays as it is."""

    title: Title = Field(default=None)  # type: ignore[assignment]  # may be left out, but can't be set to null
    description: Annotated[Description | None, Field(examples=["Two litres"])] = None


_TAG: Final = named_headers(ETag="Changes with each change of the item.")
_TAGGED: Final[dict[str, Any]] = {"headers": _TAG}


@router.post(
    "/",
    status_code=201,
    response_model=ItemResponse,
    responses=errors(*SIGNED_IN, *IDEMPOTENT, json_body=True, idempotent=True)
    | {201: {"headers": _TAG | named_headers(Location="The path of the item.") | REPLAYED}},
)
async def create_item(
    *,
    request: Request,
    actor: CurrentActor,
    body: ItemBody,
    create: Annotated[CreateItem, use("create_item")],
    once: Once,
) -> Response:
    """Add an item of one's own."""

    def answer(item: Item) -> Response:
        headers = {"Location": f"{request.scope['path']}{item.id}", "ETag": entity_tag(item.version)}
        return Response(ItemResponse.of(item).model_dump_json(), 201, headers, "application/json")

    return await once(lambda also: create(actor, title=body.title, description=body.description, also=also), answer)


@router.get("/", responses=errors(*SIGNED_IN, NotEnoughPrivileges, validated=True))
async def list_items(
    *,
    actor: CurrentActor,
    paging: PageParameters,
    list_them: Annotated[ListItems, use("list_items")],
    q: Annotated[
        SearchWords | None, Query(max_length=200, description="Words, each of which title or description contains.")
    ] = None,
    sort: Annotated[ItemSort, Query(description="`-` is falling.")] = ItemSort.NEWEST,
    owner_id: Annotated[IdInQuery | None, Query(description="Whose items. For superusers.")] = None,
) -> ListResponse[ItemResponse]:
    """One's own items; for superusers also another user's."""
    listed = ("items", f"{owner_id or actor.user.id}", sort)
    page = await list_them(actor, paging.request(*listed), sort=sort, q=q, owner_id=owner_id)
    return paging.response(page, [ItemResponse.of(item) for item in page.items], *listed)


@router.get(
    "/{item_id}",
    response_model=ItemResponse,
    responses=errors(*SIGNED_IN, ItemNotFound, validated=True)
    | {200: _TAGGED, 304: {"description": "The client has this version already.", **_TAGGED}},
)
async def get_item(
    item_id: IdInPath,
    actor: CurrentActor,
    known: IfNoneMatch,
    response: Response,
    get: Annotated[GetItem, use("get_item")],
) -> ItemResponse | Response:
    """One of one's own items."""
    item = await get(actor, item_id)
    response.headers["ETag"] = entity_tag(item.version)
    if known.include(item.version):
        return Response(status_code=304, headers=dict(response.headers))
    return ItemResponse.of(item)


@router.put("/{item_id}", responses=errors(*SIGNED_IN, ItemNotFound, VersionMismatch, json_body=True) | {200: _TAGGED})
async def replace_item(
    *,
    item_id: IdInPath,
    actor: CurrentActor,
    versions: IfMatch,
    body: ItemBody,
    response: Response,
    edit: Annotated[EditItem, use("edit_item")],
) -> ItemResponse:
    """Replace one of one's own items. A description that is left out is none."""
    change = ItemChange(title=body.title, describe=True, description=body.description)
    item = await edit(actor, item_id, change, versions=versions)
    response.headers["ETag"] = entity_tag(item.version)
    return ItemResponse.of(item)


@router.patch(
    "/{item_id}", responses=errors(*SIGNED_IN, ItemNotFound, VersionMismatch, json_body=True) | {200: _TAGGED}
)
async def update_item(
    *,
    item_id: IdInPath,
    actor: CurrentActor,
    versions: IfMatch,
    body: ItemPatch,
    response: Response,
    edit: Annotated[EditItem, use("edit_item")],
) -> ItemResponse:
    """Change one of one's own items."""
    change = ItemChange(title=body.title, describe="description" in body.model_fields_set, description=body.description)
    item = await edit(actor, item_id, change, versions=versions)
    response.headers["ETag"] = entity_tag(item.version)
    return ItemResponse.of(item)


@router.delete(
    "/{item_id}", status_code=204, responses=errors(*SIGNED_IN, ItemNotFound, VersionMismatch, validated=True)
)
async def delete_item(
    item_id: IdInPath, actor: CurrentActor, versions: IfMatch, delete: Annotated[DeleteItem, use("delete_item")]
) -> None:
    """Delete one of one's own items."""
    await delete(actor, item_id, versions=versions)
