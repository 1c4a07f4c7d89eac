"""The app: layers, routes and life of one HTTP server process."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from entrypoints.container import Container
from entrypoints.http import (
    auth,
    files,
    images,
    items,
    links,
    mail,
    operations,
    pages,
    partner,
    resumable,
    tasks,
    users,
    websocket_routes,
)
from entrypoints.http.bodies import not_allowed
from entrypoints.http.documentation import openapi_of
from entrypoints.http.errors import add_error_handlers
from entrypoints.http.head import HeadAsGet
from entrypoints.http.observation import Observation, Rescue
from entrypoints.lifecycle import running
from entrypoints.settings import Settings, read_settings

if TYPE_CHECKING:
    from entrypoints.tracing import Tracing

DESCRIPTION = """Accounts, sign-in, files, mail and background work behind one face.

Every answer has an `X-Request-ID`: the one that the client sent, else a new one. An error is an `ErrorBody`; a client
that accepts `application/problem+json` gets the same facts as RFC 9457 has them.
"""

AT_ROOT = (operations.router, pages.router)
IN_API = (
    partner.router,  # /users/batch comes before /users/{user_id}
    users.router,
    auth.router,
    items.router,
    images.router,
    resumable.router,  # and /files/resumable before /files/{file_id}
    files.router,
    links.router,
    tasks.router,
    mail.router,
    websocket_routes.router,
)
EXPOSED = [
    "X-Request-ID",
    "ETag",
    "Location",
    "Retry-After",
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Expires",
    "Upload-Metadata",
    "Portico-File-Id",
]


class Cors(CORSMiddleware):
    """Cross-origin requests: an origin that isn't allowed gets no CORS header at all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
            if len(origins) != 1 or not self.is_allowed_origin(origins[0]):
                await self.app(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def create_app(settings: Settings | None = None, *, with_worker: bool = False) -> FastAPI:
    """An app with a container of its own. `with_worker` makes it do the background work, too."""
    return app_of(Container(settings=settings or read_settings()), with_worker=with_worker)


def app_of(container: Container, *, with_worker: bool) -> FastAPI:
    """The app that serves the use cases of this container."""
    settings = container.settings()
    app = FastAPIOffline(
        title=settings.project_name,
        version=settings.version,
        description=DESCRIPTION,
        contact={"name": settings.project_name, "url": settings.public_url},
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_url=f"{settings.api_v1_str}/openapi.json",
        static_url="/docs/assets",
        redirect_slashes=False,
        lifespan=_lifespan(container, with_worker=with_worker),
        telemetry=_telemetry(container.tracing()),
    )
    app.state.container = container
    app.state.asyncapi = None  # made when it is first asked for
    routes = [*_routes("", *AT_ROOT), *_routes(settings.api_v1_str, *IN_API)]
    app.state.methods = _methods(routes)
    app.router.routes.extend((*routes, *websocket_routes.ROUTES))
    app.openapi = openapi_of(app, settings.api_v1_str)  # type: ignore[method-assign]  # as FastAPI documents it
    add_error_handlers(app)
    _add_layers(app, routes, container)
    return app


def _routes(prefix: str, *routers: APIRouter) -> Iterator[APIRoute]:
    """The routes of these routers, with the prefix, in one row.

    FastAPI's `include_router` would analyse each of them a second time, and look for it twice at every request.
    """
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            placed = copy(route)
            placed.path = prefix + route.path
            placed.path_regex, placed.path_format, placed.param_convertors = compile_path(placed.path)
            placed.unique_id = route.name  # reads like a method's name in generated clients
            yield placed


def _telemetry(tracing: "Tracing | None") -> TelemetryConfig:
    """What FastAPI tells OpenTelemetry: a span for each request, and none for its own steps in between."""
    config: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
    if tracing is not None:
        config |= {"tracing": True, "tracer_provider": tracing.provider}
    return config


def _add_layers(app: FastAPI, routes: Sequence[APIRoute], container: Container) -> None:
    """The last one added is the outermost."""
    settings = container.settings()
    app.add_middleware(HeadAsGet, own=[route.path for route in routes if route.methods == {"HEAD"}])
    app.add_middleware(Rescue)
    app.add_middleware(
        Cors,
        allow_origins=settings.backend_cors_origins,
        allow_credentials=True,
        allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )
    app.add_middleware(Observation, container.metrics(), settings.api_v1_str, _collections(routes))
    if settings.trusted_proxies:
        from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)


def _methods(routes: Sequence[APIRoute]) -> Mapping[str, set[str]]:
    """The methods that each path has."""
    methods: dict[str, set[str]] = defaultdict(set)
    for route in routes:
        if route.endpoint is not not_allowed:
            methods[route.path] |= route.methods or set()
    for allowed in methods.values():
        if "GET" in allowed:
            allowed.add("HEAD")
    return methods


def _collections(routes: Sequence[APIRoute]) -> dict[str, str]:
    """Each collection's path without its slash, and with it."""
    return {route.path.removesuffix("/"): route.path for route in routes if route.path.endswith("/")}


def _lifespan(container: Container, *, with_worker: bool) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(container, with_worker=with_worker):
            yield

    return lifespan
