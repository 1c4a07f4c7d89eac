"""Accounts over HTTP."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from application.email_addresses import RequestEmailChange
from application.users import (
    DeleteOwnAccount,
    DeleteUser,
    GetUser,
    ListUsers,
    PingUser,
    RegisterUser,
    RenameUser,
    UpdateUser,
)
from domain.errors import TooManyAttempts
from domain.passwords import PasswordTooCommon, WrongPassword
from domain.users import (
    EmailTaken,
    LastSuperuser,
    NotEnoughPrivileges,
    RegistrationClosed,
    User,
    UserChange,
    UserNotFound,
)
from entrypoints.http.bodies import Route
from entrypoints.http.dependencies import CurrentActor, client_address, use
from entrypoints.http.documentation import SIGNED_IN, Acknowledgement, Message, errors, named_headers
from entrypoints.http.fields import (
    EmailField,
    IdInPath,
    NewPasswordField,
    PasswordField,
    PersonName,
    RequestModel,
    not_null,
)
from entrypoints.http.lists import ListResponse, PageParameters, SearchWords

router = APIRouter(prefix="/users", tags=["users"], route_class=Route)


class UserResponse(BaseModel):
    id: int
    email: Annotated[str, Field(examples=["ada@example.org"])]
    full_name: Annotated[str | None, Field(examples=["Ada Lovelace"])]
    is_active: bool
    is_verified: bool
    is_superuser: Annotated[bool, Field(examples=[False])]
    created_at: datetime
    updated_at: datetime
    last_active: datetime | None

    @classmethod
    def of(cls, user: User) -> "UserResponse":
        return cls(
            id=user.id,
            email=user.email,
            full_name=user.full_name,
            is_active=user.is_active,
            is_verified=user.is_verified,
            is_superuser=user.is_superuser,
            created_at=user.created_at,
            updated_at=user.updated_at,
            last_active=user.last_active,
        )


class Registration(RequestModel):
    email: EmailField
    full_name: PersonName | None = None
    password: NewPasswordField


class OwnProfile(RequestModel):
    full_name: PersonName | None


class PasswordConfirmation(RequestModel):
    password: PasswordField


class NewEmail(RequestModel):
    new_email: EmailField
    password: PasswordField


class UserPatch(RequestModel):
    """What is left out stays as it is."""

    email: EmailField = None
    full_name: PersonName | None = None
    is_active: Annotated[bool | None, AfterValidator(not_null), WithJsonSchema({"type": "boolean"})] = None
    is_superuser: Annotated[
        bool | None, AfterValidator(not_null), WithJsonSchema({"type": "boolean", "examples": [False]})
    ] = None


@router.post(
    "/",
    status_code=201,
    responses=errors(RegistrationClosed, EmailTaken, PasswordTooCommon, TooManyAttempts, json_body=True)
    | {201: {"headers": named_headers(Location="The path of the account.")}},
)
async def register_user(
    request: Request,
    response: Response,
    body: Registration,
    register: Annotated[RegisterUser, use("register_user")],
) -> UserResponse:
    """Open an account; a mail to confirm the address follows."""
    user = await register(
        email=body.email, password=body.password, full_name=body.full_name, client=client_address(request)
    )
    response.headers["Location"] = f"{request.scope['path']}{user.id}"
    return UserResponse.of(user)


@router.get("/", responses=errors(*SIGNED_IN, NotEnoughPrivileges, validated=True))
async def list_users(
    actor: CurrentActor,
    paging: PageParameters,
    list_them: Annotated[ListUsers, use("list_users")],
    q: Annotated[
        SearchWords | None, Query(max_length=200, description="Words, each of which the address or the name contains.")
    ] = None,
    is_active: bool | None = None,
) -> ListResponse[UserResponse]:
    """All accounts, newest first. For superusers."""
    page = await list_them(actor, paging.request("users"), q=q, is_active=is_active)
    return paging.response(page, [UserResponse.of(user) for user in page.items], "users")


@router.get("/me", responses=errors(*SIGNED_IN))
async def get_own_user(actor: CurrentActor) -> UserResponse:
    """One's own account."""
    return UserResponse.of(actor.user)


@router.patch("/me", responses=errors(*SIGNED_IN, json_body=True))
async def update_own_user(
    actor: CurrentActor, body: OwnProfile, rename: Annotated[RenameUser, use("rename_user")]
) -> UserResponse:
    """Change one's own name."""
    return UserResponse.of(await rename(actor, full_name=body.full_name))


@router.delete(
    "/me", status_code=204, responses=errors(*SIGNED_IN, WrongPassword, LastSuperuser, TooManyAttempts, json_body=True)
)
async def delete_own_user(
    actor: CurrentActor, body: PasswordConfirmation, delete: Annotated[DeleteOwnAccount, use("delete_own_account")]
) -> None:
    """Delete one's own account with all that is one's own."""
    await delete(actor, password=body.password)


@router.post(
    "/me/email",
    status_code=202,
    responses=errors(*SIGNED_IN, WrongPassword, EmailTaken, TooManyAttempts, json_body=True),
)
async def request_email_change(
    request: Request,
    actor: CurrentActor,
    body: NewEmail,
    ask: Annotated[RequestEmailChange, use("request_email_change")],
) -> Message:
    """Ask for another address. It counts once the link mailed to it is used."""
    await ask(actor, new_email=body.new_email, password=body.password, client=client_address(request))
    return Message(message="Please use the link that was mailed to the new address")


@router.get("/{user_id}", responses=errors(*SIGNED_IN, NotEnoughPrivileges, UserNotFound, validated=True))
async def get_user(user_id: IdInPath, actor: CurrentActor, get: Annotated[GetUser, use("get_user")]) -> UserResponse:
    """One account: one's own, or any for superusers."""
    return UserResponse.of(await get(actor, user_id))


@router.patch(
    "/{user_id}",
    responses=errors(*SIGNED_IN, NotEnoughPrivileges, UserNotFound, EmailTaken, LastSuperuser, json_body=True),
)
async def update_user(
    user_id: IdInPath, actor: CurrentActor, body: UserPatch, update: Annotated[UpdateUser, use("update_user")]
) -> UserResponse:
    """Change any account. For superusers."""
    change = UserChange(
        email=body.email,
        is_active=body.is_active,
        is_superuser=body.is_superuser,
        rename="full_name" in body.model_fields_set,
        full_name=body.full_name,
    )
    return UserResponse.of(await update(actor, user_id, change))


@router.delete(
    "/{user_id}",
    status_code=204,
    responses=errors(*SIGNED_IN, NotEnoughPrivileges, UserNotFound, LastSuperuser, validated=True),
)
async def delete_user(
    user_id: IdInPath, actor: CurrentActor, delete: Annotated[DeleteUser, use("delete_user")]
) -> None:
    """Delete any account with all that is theirs. For superusers."""
    await delete(actor, user_id)


@router.post("/{user_id}/ping", responses=errors(*SIGNED_IN, NotEnoughPrivileges, UserNotFound, validated=True))
async def ping_user(
    user_id: IdInPath, actor: CurrentActor, ping: Annotated[PingUser, use("ping_user")]
) -> Acknowledgement:
    """Note that the user is there. `last_active` follows in the background."""
    await ping(actor, user_id)
    return Acknowledgement(message="Ping recorded")
