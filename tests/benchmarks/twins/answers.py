"""What both hand-written twins share: the bearer token, and the answers."""

import os
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import BaseModel, Field

KEY: Final = OctKey.import_key(os.environ["SECRET_KEY"])
CLAIMS: Final = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": "http://localhost:8000"},
    aud={"essential": True, "value": "portico"},
    exp={"essential": True},
)

bearer = HTTPBearer()


class User(BaseModel):
    id: int
    email: str
    full_name: str | None
    is_active: bool
    is_verified: bool
    is_superuser: bool
    created_at: datetime
    updated_at: datetime
    last_active: datetime | None


class Item(BaseModel):
    id: int
    title: str
    description: str | None
    owner_id: int
    version: int
    created_at: datetime
    updated_at: datetime


class ItemPage(BaseModel):
    items: list[Item]
    total: int
    page: int
    size: int
    pages: int


class NewItem(BaseModel):
    title: Annotated[str, Field(min_length=1, max_length=255)]
    description: Annotated[str | None, Field(max_length=10_000)] = None


Skip = Annotated[int, Query(ge=0)]
Limit = Annotated[int, Query(ge=1, le=100)]


def page_of(items: list[Item], total: int, skip: int, limit: int) -> ItemPage:
    return ItemPage(items=items, total=total, page=skip // limit + 1, size=limit, pages=-(-total // limit))


def search_of(body: NewItem) -> str:
    """What a search looks at."""
    return f"{body.title} {body.description or ''}".casefold()


async def session_of(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    """The session that the token is of."""
    try:
        token = jwt.decode(credentials.credentials, KEY, algorithms=["HS256"])
        CLAIMS.validate(token.claims)
    except JoseError:
        raise HTTPException(401, "Invalid token", {"WWW-Authenticate": "Bearer"}) from None
    session_id: str = token.claims["sid"]
    return session_id


SessionId = Annotated[str, Depends(session_of)]


def refuse_unless_live(expires_at: datetime | None, is_active: bool) -> None:
    """What is left to check once the row is there."""
    if expires_at is None or expires_at <= datetime.now(UTC):
        raise HTTPException(401, "Invalid token", {"WWW-Authenticate": "Bearer"})
    if not is_active:
        raise HTTPException(403, "Inactive user")
