"""Where WebSockets come in. What serves them is loaded for the first one: no start waits for it."""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

router = APIRouter()

LARGEST_MESSAGE: Final = 64 * 1024
"""Bytes."""


class _Endpoint:
    """One of the endpoints in `realtime`. It is no function, so the router hands it what it gets."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from entrypoints.http import realtime

        await getattr(realtime, self._name)(scope, receive, send)


ROUTES: Final = (
    WebSocketRoute("/ws/protected", _Endpoint("protected"), name="protected"),
    WebSocketRoute("/ws/{client_id}", _Endpoint("lobby"), name="lobby"),
    WebSocketRoute("/{path:path}", _Endpoint("nowhere"), name="nowhere"),
)


def websocket_connection(**options: Any) -> Any:
    """What uvicorn makes of a connection that asks to become a WebSocket."""
    from entrypoints.http.websocket_protocol import WebSocketConnection

    return WebSocketConnection(**options)


@router.get("/asyncapi.json", include_in_schema=False)
async def asyncapi(request: Request) -> Response:
    """The AsyncAPI document of the WebSockets, made once."""
    state = request.app.state
    if state.asyncapi is None:
        from entrypoints.http.asyncapi import document_of

        state.asyncapi = JSONResponse(document_of(state.container.settings())).body
    return Response(state.asyncapi, media_type="application/json")
