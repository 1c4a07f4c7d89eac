"""How bodies are read: bounded in size and time, of the right type, and as strict JSON."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from entrypoints.http.errors import RequestError, body_too_large, malformed_body, unsupported_media_type

DEEPEST: Final = 64
"""How deep a body may nest; the outermost array or object is 1."""
MOST_FIELDS: Final = 10
"""Fields of a form."""
IDLE_SECONDS: Final = 30
"""How long the next bytes may take."""
SHORT_SECONDS: Final = 120
"""How long JSON and forms without files may take: long enough for the largest over a bad line."""
LONGEST_SECONDS: Final = 12 * 60 * 60
"""How long a whole upload may take: shorter than what is staged is kept."""
ENDS_EARLY: Final = "The body ends early"


class StrictRequest(Request):
    """A request whose body can't be larger than allowed, take forever, nor be taken for something it doesn't say."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        limit: int = self.app.state.container.settings().max_json_bytes
        if declared_length(self) > limit:
            raise body_too_large(limit)
        async for chunk in chunks_of(super().stream(), idle=IDLE_SECONDS, in_all=SHORT_SECONDS, most=limit):
            yield chunk

    async def json(self) -> Any:
        return parse_json(await self.body())

    async def form_fields(self) -> dict[str, Any]:
        """The fields of a form without files. Raises 400 `malformed_body`, also for a field that is there twice."""
        try:
            form = await self.form(max_files=0, max_fields=MOST_FIELDS)
        except RequestError:
            raise
        except HTTPException:
            raise malformed_body("The form can't be read") from None
        fields = dict(form.multi_items())
        if len(fields) != len(form.multi_items()):
            raise malformed_body("The form repeats a field")
        return fields


async def chunks_of(
    stream: AsyncIterator[bytes], *, idle: float, in_all: float, most: int | None = None
) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises 408 `request_timeout` when nothing comes for `idle` seconds or it takes longer than
    `in_all`, 400 `malformed_body` when it ends early, and 413 `body_too_large` as soon as it exceeds `most` bytes."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + in_all
    received = 0
    while True:
        try:
            async with asyncio.timeout_at(min(loop.time() + idle, deadline)):
                chunk = await anext(stream, None)
        except TimeoutError:
            late = loop.time() >= deadline
            raise _too_slow(f"The body took longer than {in_all:g} seconds" if late else no_data_for(idle)) from None
        except ClientDisconnect:
            raise malformed_body(ENDS_EARLY) from None  # nobody is there to hear it
        if chunk is None:
            return
        received += len(chunk)
        if most is not None and received > most:
            raise body_too_large(most)
        yield chunk


def upload_of(request: Request) -> AsyncIterator[bytes]:
    """The body of an upload, in its own bounds. A request of its own reads it: the app's reads no more than fits into
    `MAX_JSON_BYTES`."""
    return chunks_of(Request(request.scope, request.receive).stream(), idle=IDLE_SECONDS, in_all=LONGEST_SECONDS)


def no_data_for(seconds: float) -> str:
    return f"No data came for {seconds:g} seconds"


def _too_slow(message: str) -> RequestError:
    """RFC 9110 section 15.5.9."""
    return RequestError(408, "request_timeout", message, {"Connection": "close"})


def parse_json(body: bytes) -> Any:
    """What the JSON says (RFC 8259). Raises 400 `malformed_body`.

    A repeated key, `NaN`, `Infinity`, and arrays and objects nested deeper than 64 are refused too: readers of JSON
    disagree about them.
    """
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise malformed_body() from None
    if _deeper_than(value, DEEPEST):
        raise malformed_body()
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is repeated")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            child
            for parent in layer
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not layer:
            return False
    return any(isinstance(value, dict | list) for value in layer)


def has_body(request: Request) -> bool:
    """Whether the request says that a body follows (RFC 9112 section 6)."""
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def declared_length(request: Request) -> int:
    """The length that the body is said to have; 0 if nothing is said."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def media_type(request: Request) -> str:
    """The type that the body is said to have, without parameters; none if it is said to have several."""
    types = request.headers.getlist("content-type")
    return types[0].partition(";")[0].strip().lower() if len(types) == 1 else ""


def is_encoded(request: Request) -> bool:
    """Whether the body is compressed, say: in itself, or on its way, where the server undoes nothing but the chunks."""
    in_itself = request.headers.getlist("content-encoding")
    on_its_way = request.headers.getlist("transfer-encoding")
    return any(each.lower() != "identity" for each in in_itself) or any(
        each.lower() != "chunked" for each in on_its_way
    )


async def not_allowed() -> None:
    """Answers what another route would take for the id of a resource. Raises 405: the path has other methods."""
    raise HTTPException(405)


class Route(APIRoute):
    """A route that reads its body strictly: JSON of the right type, or 415."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        wants_json = self.body_field is not None

        async def handle_strictly(request: Request) -> Response:
            if wants_json and has_body(request) and (media_type(request) != "application/json" or is_encoded(request)):
                raise unsupported_media_type("application/json")
            return await handle(StrictRequest(request.scope, request.receive, request._send))

        return handle_strictly
