"""Health, metrics and public keys, for those who run Portico."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from domain.errors import Unavailable
from entrypoints.health import Readiness, is_ok
from entrypoints.http.documentation import RETRY_AFTER, ResponseModel

router = APIRouter(tags=["operations"])

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


EXAMPLE_KEY: JsonDict = {"kty": "OKP", "crv": "Ed25519", "x": "11qY…", "kid": "bJ_A…", "use": "sig", "alg": "Ed25519"}
EXAMPLE_FIGURES = "# TYPE portico_http_requests_in_flight gauge\nportico_http_requests_in_flight 1.0\n"
NOT_READY = {"status": "not_ready", "checks": {"database": "no answer within 3 s", "storage": "ok", "jobs": "ok"}}


class Alive(ResponseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    status: Literal["ready", "not_ready"]
    checks: Annotated[dict[str, str], Field(examples=[{"database": "ok", "storage": "ok", "jobs": "ok"}])]


class PublicKey(BaseModel):
    """A JSON Web Key (RFC 7517), with what keys of its type (RFC 7518, RFC 8037) have besides."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [EXAMPLE_KEY]})

    kty: str
    kid: str
    use: str
    alg: str


class PublicKeys(BaseModel):
    """A JSON Web Key Set (RFC 7517). It is empty with HS256, whose keys are secret."""

    keys: list[PublicKey]


@router.get("/health/live")
async def is_live() -> Alive:
    """Whether the process runs."""
    return Alive()


@router.get(
    "/health/ready",
    responses={
        503: {
            "model": Ready,
            "description": "A part is not ready.",
            "headers": RETRY_AFTER,
            "content": {"application/json": {"example": NOT_READY}},
        }
    },
)
async def is_ready(request: Request, response: Response) -> Ready:
    """Whether every part that the settings name can be used now."""
    readiness: Readiness = request.app.state.container.readiness()
    checks = await readiness.check()
    ok = all(map(is_ok, checks.values()))
    if not ok:
        response.status_code = 503
        response.headers["Retry-After"] = str(Unavailable.retry_after)
    return Ready(status="ready" if ok else "not_ready", checks=checks)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE_FIGURES}}}},
)
async def get_metrics(request: Request) -> Response:
    """Figures in Prometheus' text format."""
    container = request.app.state.container
    try:
        async with asyncio.timeout(2):
            figures = await container.job_queue().figures()
    except (Unavailable, TimeoutError):
        figures = None
    connections = container.database().connections()
    exposition = await asyncio.to_thread(container.metrics().exposition, figures, connections)
    return Response(exposition, media_type=METRICS_TYPE)


@router.get("/.well-known/jwks.json")
async def get_public_keys(request: Request) -> PublicKeys:
    """The public keys that access tokens can be verified with."""
    return PublicKeys(**request.app.state.container.tokens().jwks())
