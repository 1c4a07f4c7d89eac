"""WebSockets: the lobby and the channels. Both let in who is signed in, from pages that may ask."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs

from pydantic import TypeAdapter, ValidationError
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from application.conversations import Conversation
from application.correlation import request_id
from application.realtime import Connection
from domain.errors import Refusal, Unavailable
from domain.ids import GREATEST_ID
from domain.sessions import InvalidAccessToken, NotAuthenticated
from domain.users import InactiveUser
from entrypoints.addresses import origin_of
from entrypoints.http.bodies import parse_json
from entrypoints.http.errors import RequestError, error_response, words_of
from entrypoints.http.observation import request_id_in
from entrypoints.http.realtime_messages import Action, AskPresence, Publish, Subscribe, Unsubscribe
from entrypoints.http.realtime_words import ClientWords, error, to_json
from entrypoints.http.websocket import NOT_ALLOWED, UNSUPPORTED, CloseWith, Socket, header
from entrypoints.settings import Settings

NOT_FOUND: Final = RequestError(404, "not_found", "Not found")
ACTIONS: Final[TypeAdapter[Subscribe | Unsubscribe | Publish | AskPresence]] = TypeAdapter(Action)
BEARER: Final = "bearer"
CLIENT_ID: Final = re.compile(r"-?[0-9]{1,19}")
MOST_PARAMETERS: Final = 100
"""In the query of a handshake."""


@asynccontextmanager
async def _admitted(scope: Scope, receive: Receive, send: Send) -> AsyncIterator[tuple[Socket, Connection] | None]:
    """The handshake: who asks, and whether they may. None if they may not, and were told."""
    container = scope["app"].state.container
    current = request_id_in(scope)
    token = request_id.set(current)
    socket = Socket(scope, receive, send, container.metrics())
    try:
        refusal = _refusal(scope, container.settings())
        if refusal is not None:
            await _refuse(socket, scope, refusal)
            yield None
            return
        headers = [(b"x-request-id", current.encode())]
        subprotocol = BEARER if BEARER in scope["subprotocols"] else None
        try:
            connection: Connection = await container.open_connection()(token_in(scope))
        except (NotAuthenticated, InvalidAccessToken, InactiveUser) as error:
            await socket.accept(subprotocol, headers)  # a browser shows its page no status, but a close's code
            await socket.turn_away((NOT_ALLOWED, error.message))
            yield None
        except Unavailable as error:
            await _refuse(socket, scope, RequestError(503, error.code, error.message))
            yield None
        else:
            await socket.accept(subprotocol, headers)
            realtime = container.realtime()
            realtime.add(connection)
            try:
                yield socket, connection
            finally:
                realtime.remove(connection)
    finally:
        request_id.reset(token)


async def _refuse(socket: Socket, scope: Scope, refusal: RequestError) -> None:
    headers = {"Retry-After": str(Unavailable.retry_after)} if refusal.status_code == 503 else {}
    answer = error_response(HTTPConnection(scope), refusal.status_code, refusal.code, refusal.detail, headers=headers)
    await socket.refuse(answer)


def _refusal(scope: Scope, settings: Settings) -> RequestError | None:
    """Why this handshake is refused, whoever asks."""
    client_id = scope["path_params"].get("client_id", "0")
    if not CLIENT_ID.fullmatch(client_id) or abs(int(client_id)) > GREATEST_ID:
        return NOT_FOUND
    origins = header(scope, b"origin")
    if origins and not (len(origins) == 1 and _is_allowed(origins[0], settings)):
        return RequestError(403, "origin_not_allowed", "Pages of this origin may not connect")
    return None


def _is_allowed(origin: str, settings: Settings) -> bool:
    allowed = {*settings.backend_cors_origins, origin_of(settings.public_url)}
    return "*" in allowed or origin.lower() in allowed


def token_in(scope: Scope) -> str:
    """The one access token of a handshake: in the `Authorization` header, after `bearer` among the subprotocols, or in
    the query. Raises `NotAuthenticated`; `InvalidAccessToken` if there are several (RFC 6750 section 2)."""
    tokens = [value.partition(" ")[2].strip() for value in header(scope, b"authorization") if _is_bearer(value)]
    offered = scope["subprotocols"]
    if BEARER in offered:
        tokens += offered[offered.index(BEARER) + 1 :][:1]
    query = scope["query_string"].decode("latin-1")
    try:
        tokens += parse_qs(query, max_num_fields=MOST_PARAMETERS).get("token", [])
    except ValueError:  # more than anybody means
        raise InvalidAccessToken from None
    if not tokens:
        raise NotAuthenticated
    if len(tokens) > 1:
        raise InvalidAccessToken
    return tokens[0]


def _is_bearer(value: str) -> bool:
    scheme, _, token = value.partition(" ")
    return scheme.lower() == BEARER and bool(token.strip())


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """No WebSocket is here, whoever asks."""
    token = request_id.set(request_id_in(scope))
    try:
        await _refuse(Socket(scope, receive, send, scope["app"].state.container.metrics()), scope, NOT_FOUND)
    finally:
        request_id.reset(token)


async def lobby(scope: Scope, receive: Receive, send: Send) -> None:
    """What one sends, all get, with the number that each chose; when one leaves, the others are told."""
    async with _admitted(scope, receive, send) as admitted:
        if admitted is None:
            return
        socket, connection = admitted
        client_id = int(scope["path_params"]["client_id"])
        room = scope["app"].state.container.realtime().lobby

        async def say(message: str | bytes) -> None:
            if isinstance(message, bytes):
                raise CloseWith(UNSUPPORTED)
            room.say(client_id, message)

        room.enter(connection.send_queue)
        try:
            await socket.serve(connection, say)
        finally:
            room.leave(client_id, connection.send_queue)


async def protected(scope: Scope, receive: Receive, send: Send) -> None:
    """Channels, rooms and presence: `realtime_messages` has all that is said."""
    async with _admitted(scope, receive, send) as admitted:
        if admitted is None:
            return
        socket, connection = admitted
        words: ClientWords = scope["app"].state.container.words()
        conversation = Conversation(connection, scope["app"].state.container.realtime(), words)

        async def handle(message: str | bytes) -> None:
            try:
                await _do(conversation, message)
            except (RequestError, Refusal) as refusal:
                message = refusal.detail if isinstance(refusal, RequestError) else refusal.message
                connection.send_queue.put(error(refusal.code, message))

        connection.send_queue.put(words.authenticated(connection.actor.user))
        try:
            await socket.serve(connection, handle)
        finally:
            conversation.end()


async def _do(conversation: Conversation, message: str | bytes) -> None:
    """Do what the message asks for. Raises `RequestError` or a `Refusal`."""
    match _parsed(message):
        case Subscribe(channel=channel, after=after):
            await conversation.subscribe(channel, after)
        case Unsubscribe(channel=channel):
            conversation.unsubscribe(channel)
        case Publish(channel=channel, data=data):
            conversation.publish(channel, _written(data))
        case AskPresence(channel=channel):
            await conversation.ask_who_is_in(channel)


def _parsed(message: str | bytes) -> Any:
    value = parse_json(message.encode() if isinstance(message, str) else message)
    try:
        return ACTIONS.validate_python(value)
    except ValidationError as invalid:
        first = invalid.errors(include_input=False, include_url=False)[0]
        if first["type"] == "union_tag_invalid":
            raise RequestError(422, "unknown_action", "There is no such action") from None
        raise RequestError(422, "invalid_message", _mistake(value, first)) from None


def _mistake(value: Any, error: Mapping[str, Any]) -> str:
    if not isinstance(value, dict):
        return "A message must be a JSON object"
    if error["type"] == "union_tag_not_found":
        return "action: Field required"
    field = ".".join(str(part) for part in error["loc"][1:2])[:100] or "action"
    return f"{field}: {words_of(error)}"


def _written(data: Any) -> str:
    try:
        return to_json(data)
    except ValueError:
        raise RequestError(422, "invalid_message", "data: A number in it is too great") from None
