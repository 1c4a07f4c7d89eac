"""What both hand-written twins share: the bearer token, and the answer."""

import os
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import BaseModel

KEY: Final = OctKey.import_key(os.environ["SECRET_KEY"])
CLAIMS: Final = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": "http://localhost:8000"},
    aud={"essential": True, "value": "portico"},
    exp={"essential": True},
)
COLUMNS: Final = (
    "users.id, users.email, users.full_name, users.is_active, users.is_verified, users.is_superuser,"
    " users.created_at, users.updated_at, users.last_active, sessions.expires_at"
)
JOINED: Final = f"SELECT {COLUMNS} FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.id = "

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
