"""The partner's API over HTTP."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from application.partner import GetExternalData, GetPartnerUsers
from domain.partner import MOST_USERS, ExternalApiError, ExternalServiceNotConfigured, ExternalServiceUnavailable
from entrypoints.http.bodies import Route, not_allowed
from entrypoints.http.dependencies import CurrentActor, use
from entrypoints.http.documentation import SIGNED_IN, errors
from entrypoints.http.fields import parse_id

router = APIRouter(route_class=Route)

EXAMPLE: Final = {"id": 1, "name": "Grace Hopper"}


def _ids(value: Any) -> list[int]:
    ids = str(value).split(",")
    if len(ids) > MOST_USERS:
        raise PydanticCustomError("too_many_ids", "Must be 1 to {most} ids", {"most": MOST_USERS})
    return [parse_id(one) for one in ids]


UserIds = Annotated[
    Any,
    BeforeValidator(_ids),
    Query(
        description=f"1 to {MOST_USERS} ids, separated by commas.",
        examples=["1,2,3"],
        json_schema_extra={"type": "string", "pattern": rf"^[1-9][0-9]*(,[1-9][0-9]*){{0,{MOST_USERS - 1}}}$"},
    ),
]


class FailedUserResponse(BaseModel):
    id: int
    message: Annotated[str, Field(examples=[ExternalServiceUnavailable.message])]


class PartnerUsersResponse(BaseModel):
    users: Annotated[list[Any], Field(examples=[[EXAMPLE]], description="Each as the partner gives it.")]
    failed: list[FailedUserResponse]


@router.get(
    "/external-data",
    tags=["partner"],
    responses=errors(*SIGNED_IN, ExternalApiError, ExternalServiceUnavailable, ExternalServiceNotConfigured)
    | {200: {"content": {"application/json": {"example": EXAMPLE}}, "description": "Whatever JSON the partner gives."}},
)
async def get_external_data(actor: CurrentActor, get: Annotated[GetExternalData, use("get_external_data")]) -> Any:
    """The partner's data."""
    return await get(actor)


@router.get("/users/batch", tags=["users"], responses=errors(*SIGNED_IN, ExternalServiceNotConfigured, validated=True))
async def get_partner_users(
    actor: CurrentActor, user_ids: UserIds, get: Annotated[GetPartnerUsers, use("get_partner_users")]
) -> PartnerUsersResponse:
    """Several of the partner's users, in the order asked; repeated ids count once. One that fails fails no other."""
    found = await get(actor, user_ids)
    failed = [FailedUserResponse(id=one.id, message=one.message) for one in found.failed]
    return PartnerUsersResponse(users=list(found.users), failed=failed)


router.add_api_route("/users/batch", not_allowed, methods=["PATCH", "DELETE"], include_in_schema=False)
