"""Signing in and out, sessions, passwords and addresses over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from application.email_addresses import ChangeEmail, ResendVerification, VerifyEmail
from application.passwords import ChangePassword, ForgotPassword, ResetPassword
from application.sessions import ListSessions, RefreshSession, RevokeOtherSessions, RevokeSession, SignIn, TokenPair
from domain.errors import TooManyAttempts
from domain.mailed_tokens import InvalidMailedToken
from domain.passwords import PasswordTooCommon, WrongPassword
from domain.sessions import InvalidRefreshToken, RefreshTokenReused, SessionNotFound
from domain.users import EmailTaken, InactiveUser, InvalidCredentials
from entrypoints.http.bodies import Route, StrictRequest, has_body, is_encoded, media_type
from entrypoints.http.dependencies import CurrentActor, client_address, device, use
from entrypoints.http.documentation import SIGNED_IN, Message, ResponseModel, errors
from entrypoints.http.errors import unsupported_media_type
from entrypoints.http.fields import (
    EmailField,
    MailedTokenField,
    NewPasswordField,
    PasswordField,
    RequestModel,
    Text,
)

router = APIRouter(prefix="/auth", tags=["auth"], route_class=Route)

FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


class Credentials(RequestModel):
    """Signing in with JSON."""

    email: Annotated[Text, Field(examples=["ada@example.org"])]
    password: PasswordField


class CredentialsForm(RequestModel):
    """Signing in with the form of OAuth 2.0 (RFC 6749 section 4.3.2). The client and the scope mean nothing here."""

    grant_type: Literal["password"] = "password"
    username: Annotated[Text, Field(examples=["ada@example.org"])]
    password: PasswordField
    scope: Text = ""
    client_id: Text = ""
    client_secret: Text = ""


class TokenResponse(ResponseModel):
    access_token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiIs…"])]
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of a scheme
    expires_in: Annotated[int, Field(description="Seconds.", examples=[1800])]
    refresh_token: Annotated[str, Field(examples=["mFz0…"])]

    @classmethod
    def of(cls, pair: TokenPair) -> "TokenResponse":
        return cls(access_token=pair.access_token, expires_in=pair.expires_in, refresh_token=pair.refresh_token)


class SessionResponse(BaseModel):
    id: Annotated[str, Field(examples=["5f0c7b0e6d1f4a2b9c3d8e7f60514233"])]
    created_at: datetime
    last_used_at: datetime
    expires_at: Annotated[datetime, Field(examples=["2026-12-24T09:30:00Z"])]
    user_agent: Annotated[str | None, Field(examples=["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"])]
    ip: Annotated[str | None, Field(examples=["203.0.113.7"])]
    current: Annotated[bool, Field(description="Whether it is the session that asks.")]


class SessionsResponse(BaseModel):
    items: list[SessionResponse]


class RefreshBody(RequestModel):
    refresh_token: Annotated[Text, Field(examples=["mFz0…"])]


class TokenBody(RequestModel):
    token: MailedTokenField


class EmailBody(RequestModel):
    email: EmailField


class PasswordReset(RequestModel):
    token: MailedTokenField
    new_password: NewPasswordField


class PasswordChange(RequestModel):
    current_password: PasswordField
    new_password: NewPasswordField


def _body_of(*models: tuple[str, type[BaseModel]]) -> dict[str, Any]:
    content = {media: {"schema": model.model_json_schema()} for media, model in models}
    return {"requestBody": {"required": True, "content": content}}


USER_AGENT: Final = {
    "name": "User-Agent",
    "in": "header",
    "description": "What the session is called in the list of sessions.",
    "schema": {"type": "string", "examples": ["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"]},
}


async def _credentials(request: Request) -> tuple[str, Any]:
    """Address and password, from the OAuth2 form or from JSON."""
    request = StrictRequest(request.scope, request.receive)
    if is_encoded(request):
        raise unsupported_media_type("a form or application/json")
    try:
        if media_type(request) in FORMS:
            form = CredentialsForm.model_validate(await request.form_fields())
            return form.username, form.password
        if media_type(request) == "application/json":
            credentials = Credentials.model_validate(await request.json() if await request.body() else None)
            return credentials.email, credentials.password
        if has_body(request):
            raise unsupported_media_type("a form or application/json")
        Credentials.model_validate({})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in details]) from None
    raise AssertionError("a body that is missing can't be valid")


@router.post(
    "/login",
    openapi_extra={
        "parameters": [USER_AGENT],
        **_body_of((FORMS[0], CredentialsForm), ("application/json", Credentials)),
    },
    responses=errors(InvalidCredentials, InactiveUser, TooManyAttempts, json_body=True),
)
async def sign_in(request: Request, sign: Annotated[SignIn, use("sign_in")]) -> TokenResponse:
    """Sign in with an address and its password, as the OAuth2 password form or as JSON."""
    email, password = await _credentials(request)
    return TokenResponse.of(await sign(email=email, password=password, device=device(request)))


@router.post("/refresh", responses=errors(InvalidRefreshToken, RefreshTokenReused, InactiveUser, json_body=True))
async def refresh_session(
    body: RefreshBody, refresh: Annotated[RefreshSession, use("refresh_session")]
) -> TokenResponse:
    """Exchange a refresh token for a new pair. The old one is spent."""
    return TokenResponse.of(await refresh(body.refresh_token))


@router.post("/logout", status_code=204, responses=errors(*SIGNED_IN))
async def sign_out(actor: CurrentActor, revoke: Annotated[RevokeSession, use("revoke_session")]) -> None:
    """End this session."""
    await revoke(actor, actor.session_id)


@router.get("/sessions", responses=errors(*SIGNED_IN))
async def list_sessions(
    actor: CurrentActor, list_them: Annotated[ListSessions, use("list_sessions")]
) -> SessionsResponse:
    """Where one is signed in, last used first."""
    return SessionsResponse(
        items=[
            SessionResponse(
                id=session.id,
                created_at=session.created_at,
                last_used_at=session.last_used_at,
                expires_at=session.expires_at,
                user_agent=session.user_agent,
                ip=session.ip,
                current=session.id == actor.session_id,
            )
            for session in await list_them(actor)
        ]
    )


@router.delete("/sessions/{session_id}", status_code=204, responses=errors(*SIGNED_IN, SessionNotFound, validated=True))
async def revoke_session(
    session_id: Text, actor: CurrentActor, revoke: Annotated[RevokeSession, use("revoke_session")]
) -> None:
    """End one of one's sessions."""
    await revoke(actor, session_id)


@router.delete("/sessions", status_code=204, responses=errors(*SIGNED_IN))
async def revoke_other_sessions(
    actor: CurrentActor, revoke: Annotated[RevokeOtherSessions, use("revoke_other_sessions")]
) -> None:
    """End all of one's sessions but this one."""
    await revoke(actor)


@router.post("/verify-email", responses=errors(InvalidMailedToken, json_body=True))
async def verify_email(body: TokenBody, verify: Annotated[VerifyEmail, use("verify_email")]) -> Message:
    """Confirm an address with the token mailed to it."""
    await verify(body.token)
    return Message(message="The email address is confirmed")


@router.post("/verify-email/resend", status_code=202, responses=errors(TooManyAttempts, json_body=True))
async def resend_verification(
    request: Request, body: EmailBody, resend: Annotated[ResendVerification, use("resend_verification")]
) -> Message:
    """Ask for the verification mail again. The answer is the same whether there is such an account or not."""
    await resend(body.email, client=client_address(request))
    return Message(message="If this address waits to be confirmed, a mail is on its way")


@router.post("/change-email", responses=errors(InvalidMailedToken, EmailTaken, json_body=True))
async def change_email(body: TokenBody, change: Annotated[ChangeEmail, use("change_email")]) -> Message:
    """Take the new address with the token mailed to it."""
    await change(body.token)
    return Message(message="The email address is changed")


@router.post("/password/forgot", status_code=202, responses=errors(TooManyAttempts, json_body=True))
async def forgot_password(
    request: Request, body: EmailBody, forgot: Annotated[ForgotPassword, use("forgot_password")]
) -> Message:
    """Ask for a link to reset a password. The answer is the same whether there is such an account or not."""
    await forgot(body.email, client=client_address(request))
    return Message(message="If there is an account with this address, a mail is on its way")


@router.post("/password/reset", responses=errors(InvalidMailedToken, PasswordTooCommon, json_body=True))
async def reset_password(body: PasswordReset, reset: Annotated[ResetPassword, use("reset_password")]) -> Message:
    """Set a new password with the token of a mailed link. Every session ends."""
    await reset(token=body.token, new=body.new_password)
    return Message(message="The password is changed. Please sign in with it")


@router.post(
    "/password/change", responses=errors(*SIGNED_IN, WrongPassword, PasswordTooCommon, TooManyAttempts, json_body=True)
)
async def change_password(
    actor: CurrentActor, body: PasswordChange, change: Annotated[ChangePassword, use("change_password")]
) -> Message:
    """Change one's own password. All other sessions end."""
    await change(actor, current=body.current_password, new=body.new_password)
    return Message(message="The password is changed")
