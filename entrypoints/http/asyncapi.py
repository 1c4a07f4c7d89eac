"""The AsyncAPI document (version 3.0): what is said over WebSockets, out of the same models that are used for it."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from entrypoints.http.realtime_messages import RECEIVED, SENT
from entrypoints.settings import Settings

SCHEMAS: Final = "#/components/schemas/"
MESSAGES: Final = "#/components/messages/"
SIGNED_IN: Final = (
    "An access token, as `?token=…`, as `Authorization: Bearer …`, or as the subprotocols `bearer, <token>`, of which "
    "`bearer` is answered. Without one that holds, the connection is closed with 1008; so it is within 5 s once the "
    "token ends, its session is revoked or its account deactivated. Pages of an origin that isn't allowed get 403."
)
CLOSES: Final = (
    "1003: bytes in the lobby. 1007: text that is no UTF-8. 1008: not allowed, or more than 50 messages in a second. "
    "1009: a message over 64 KiB. 1012: the server stops; connect again. 1013: 1,000 messages wait to be read."
)
LOBBY: Final = (
    "Plain text. What one sends, all get as `Client {client_id}: {text}`, the sender too; when one leaves, the others "
    "get `Client {client_id} left`."
)


def document_of(settings: Settings) -> dict[str, Any]:
    """The whole document, of a server at `PUBLIC_URL`."""
    scheme, _, rest = settings.public_url.partition("://")
    host, slash, path = rest.partition("/")
    server: dict[str, Any] = {
        "host": host,
        "protocol": "wss" if scheme == "https" else "ws",
        "description": SIGNED_IN,
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
    }
    if slash:
        server["pathname"] = f"/{path}"
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"{settings.project_name}: realtime",
            "version": settings.version,
            "description": f"Every change of what is one's own, once and in order; rooms, presence, a lobby. {CLOSES}",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"portico": server},
        "channels": _channels(),
        "operations": _operations(),
        "components": _components(),
    }


def _channels() -> dict[str, Any]:
    names = [model.__name__ for model in (*SENT, *RECEIVED)]
    return {
        "protected": {
            "address": "/ws/protected",
            "title": "Channels",
            "description": "JSON. The channels that a connection subscribes to are named in its messages.",
            "messages": {name: {"$ref": MESSAGES + name} for name in names},
        },
        "lobby": {
            "address": "/ws/{client_id}",
            "title": "Lobby",
            "description": LOBBY,
            "parameters": {"client_id": {"description": "An integer, which need not be one's own alone."}},
            "messages": {"LobbyText": {"$ref": f"{MESSAGES}LobbyText"}},
        },
    }


def _operations() -> dict[str, Any]:
    """As the server sees it: it receives what clients send."""
    return {
        "take": _operation("receive", "protected", [model.__name__ for model in SENT], "What a client may ask for."),
        "tell": _operation("send", "protected", [model.__name__ for model in RECEIVED], "What a client is told."),
        "hear": _operation("receive", "lobby", ["LobbyText"], "What somebody says in the lobby."),
        "pass_on": _operation("send", "lobby", ["LobbyText"], "What all in the lobby hear."),
    }


def _operation(action: str, channel: str, messages: Sequence[str], summary: str) -> dict[str, Any]:
    here = f"#/channels/{channel}"
    references = [{"$ref": f"{here}/messages/{name}"} for name in messages]
    return {"action": action, "channel": {"$ref": here}, "summary": summary, "messages": references}


def _components() -> dict[str, Any]:
    sent = models_json_schema([(model, "validation") for model in SENT], ref_template=f"{SCHEMAS}{{model}}")[1]
    received = models_json_schema([(model, "serialization") for model in RECEIVED], ref_template=f"{SCHEMAS}{{model}}")[
        1
    ]
    schemas = {**sent["$defs"], **received["$defs"]}
    messages = {model.__name__: _message(model) for model in (*SENT, *RECEIVED)}
    messages["LobbyText"] = {
        "name": "LobbyText",
        "contentType": "text/plain",
        "payload": {"type": "string", "examples": ["Hello", "Client 7: Hello", "Client 7 left"]},
    }
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": SIGNED_IN}
    return {"schemas": schemas, "messages": messages, "securitySchemes": {"bearer": scheme}}


def _message(model: type[BaseModel]) -> dict[str, Any]:
    message: dict[str, Any] = {"name": model.__name__, "payload": {"$ref": SCHEMAS + model.__name__}}
    if model.__doc__:
        message["summary"] = " ".join(model.__doc__.split())
    return message
