"""Links to files over HTTP."""

from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from application.links import CreateLink, OpenLink
from domain.files import FileNotFound
from domain.links import LONGEST_LIFETIME, InvalidLink, Link
from entrypoints.http.bodies import Route
from entrypoints.http.content import Conditions, Inline, answers, serve
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import SIGNED_IN, errors
from entrypoints.http.fields import IdInPath, RequestModel, Text
from entrypoints.http.idempotency import IDEMPOTENT, REPLAYED, Once
from entrypoints.settings import Settings

router = APIRouter(prefix="/files", tags=["files"], route_class=Route)

LONGEST_LINK: Final = int(LONGEST_LIFETIME.total_seconds())
"""Seconds."""


class LinkBody(RequestModel):
    expires_in: Annotated[int, Field(ge=1, le=LONGEST_LINK, examples=[3600], description="Seconds.")]


class LinkResponse(BaseModel):
    url: Annotated[str, Field(examples=["https://portico.example.com/api/v1/files/1/shared?expires=…&signature=…"])]
    expires_at: datetime


@router.post(
    "/{file_id}/link",
    response_model=LinkResponse,
    responses=errors(*SIGNED_IN, FileNotFound, *IDEMPOTENT, json_body=True, idempotent=True)
    | {200: {"headers": REPLAYED}},
)
async def create_link(
    *,
    file_id: IdInPath,
    actor: CurrentActor,
    body: LinkBody,
    settings: Annotated[Settings, use("settings")],
    create: Annotated[CreateLink, use("create_link")],
    once: Once,
) -> Response:
    """A link to the content of one's own file that works without signing in, until then."""

    def answer(link: Link) -> Response:
        query = urlencode({"expires": link.expires, "signature": link.signature})
        url = f"{settings.public_url}{settings.api_v1_str}/files/{link.file_id}/shared?{query}"
        linked = LinkResponse(url=url, expires_at=link.expires_at)
        return Response(linked.model_dump_json(), 200, media_type="application/json")

    lifetime = timedelta(seconds=body.expires_in)
    return await once(lambda also: create(actor, file_id, lifetime, also=also), answer)


@router.head("/{file_id}/shared", include_in_schema=False)
@router.get(
    "/{file_id}/shared",
    response_class=Response,
    dependencies=[Conditions],
    responses=answers(InvalidLink, FileNotFound),
)
async def get_shared_content(
    *,
    request: Request,
    file_id: IdInPath,
    open_link: Annotated[OpenLink, use("open_link")],
    expires: Annotated[Text, Query(max_length=20, examples=["1798761600"], description="As it is in the link.")],
    signature: Annotated[Text, Query(max_length=100, examples=["mFz0"], description="As it is in the link.")],
    inline: Inline = False,
) -> Response:
    """The content of a file, for whoever has a link to it."""
    return serve(request, await open_link(file_id, expires, signature), inline=inline)
