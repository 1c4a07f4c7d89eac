"""What routes ask for: a use case by its name, and who is asking."""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.openapi.models import OAuth2, OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase

from application.sessions import Device
from domain.sessions import InvalidAccessToken, NotAuthenticated
from domain.users import Actor


def use(name: str) -> Any:
    """The use case that the container has under this name."""

    async def resolve(request: Request) -> Any:
        return getattr(request.app.state.container, name)()

    return Depends(resolve)


class SignedIn(SecurityBase):
    """Whoever is behind the bearer token (RFC 6750 section 2.1).

    One dependency looks for the token, believes it, and describes itself in the OpenAPI document.
    Raises `NotAuthenticated`, `InvalidAccessToken` or `InactiveUser`.
    """

    def __init__(self) -> None:
        self.scheme_name = "bearer"
        self.model = OAuth2(
            flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="auth/login")),
            description="The access token that `POST /auth/login` gives, as `Authorization: Bearer …`.",
        )

    async def __call__(self, request: Request) -> Actor:
        actor: Actor = await request.app.state.container.authenticate()(bearer_token(request))
        request.scope["user_id"] = actor.user.id  # for the log line
        return actor


def bearer_token(request: Request) -> str:
    """The token in the `Authorization` header. Raises `NotAuthenticated`; `InvalidAccessToken` if there are two."""
    headers = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(headers) > 1:
        raise InvalidAccessToken
    scheme, _, token = headers[0].decode("latin-1").partition(" ") if headers else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated
    return token.strip()


CurrentActor = Annotated[Actor, Depends(SignedIn())]


def client_address(request: Request) -> str:
    """Where the request comes from; behind a trusted proxy, what that says."""
    return request.client.host if request.client else "unknown"


def device(request: Request) -> Device:
    """What is signing in. The name it gives itself is cut to 300 characters."""
    user_agent = request.headers.get("user-agent")
    return Device(ip=client_address(request), user_agent=user_agent[:300] if user_agent else None)
