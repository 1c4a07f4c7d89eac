"""Serving stored bytes: whole or in part, under conditions, and in a cage.

What people upload may be anything. It is never shown as a page of ours: browsers save it, and what they show all the
same, because the type is that of an image, runs nothing and loads nothing.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Depends, Header, Query, Request, Response
from starlette.types import Message, Receive, Scope, Send

from application.files import Content
from application.ports.storage import BlobMissing
from domain.errors import Refusal
from entrypoints.http.documentation import described, errors, named_headers
from entrypoints.http.errors import RequestError
from entrypoints.http.preconditions import entity_tags, header_value

SHOWN: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""What `?inline=true` shows instead of saving it."""
OUTSIDE: Final = "The range lies outside of the content"
ANOTHER: Final = "The content is another one by now"
POLICY: Final = "sandbox; default-src 'none'"
RANGE: Final = re.compile(r"bytes=[ \t]*(?:([0-9]{1,100})-([0-9]{0,100})|-([0-9]{1,100}))[ \t]*", re.IGNORECASE)
"""One range (RFC 9110 section 14.1.2). Several at once are answered with the whole, which is allowed."""
PIECE: Final = 256 * 1024
"""Bytes that are sent at once."""
ATTRIBUTE: Final = "!#$&+-.^_`|~"
"""What needs no escape in an extended parameter (RFC 8187 section 3.2.1), besides letters and digits."""

Inline = Annotated[bool, Query(description="Show it instead of saving it, if it is an image.")]


class RangeNotSatisfiable(RequestError):
    def __init__(self, size: int) -> None:
        super().__init__(416, "range_not_satisfiable", OUTSIDE, {"Content-Range": f"bytes */{size}"})


def another_by_now() -> RequestError:
    return RequestError(412, "version_mismatch", ANOTHER)


def disposition(kind: str, filename: str) -> str:
    """`Content-Disposition` (RFC 6266): the name as it is, and in ASCII for those who read no more than that."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", filename)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe=ATTRIBUTE)}"


def serve(request: Request, content: Content, *, inline: bool = False) -> Response:
    """The answer to a GET or HEAD. Raises `RangeNotSatisfiable`, and 412 `version_mismatch` if the client has begun
    with content that this isn't."""
    demanded = header_value(request, "if-match")
    if demanded not in (None, "*") and content.sha256 not in entity_tags(demanded or "", weak=False):
        raise another_by_now()
    tag = f'"{content.sha256}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Security-Policy": POLICY}
    known = header_value(request, "if-none-match")
    if known is not None and (known == "*" or content.sha256 in entity_tags(known, weak=True)):
        return Response(status_code=304, headers=headers)
    shown = inline and content.content_type in SHOWN
    headers["Content-Disposition"] = disposition("inline" if shown else "attachment", content.filename)
    headers["Content-Type"] = content.content_type
    wanted = None
    if request.method == "GET" and request.headers.get("if-range", tag) == tag:
        wanted = _range(request.headers.get("range"), content.size)
    if wanted is None:
        return _Bytes(content, 0, content.size, 200, headers)
    start, end = wanted
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    return _Bytes(content, start, end, 206, headers)


def _range(value: str | None, size: int) -> tuple[int, int] | None:
    """From where up to where, not including; None if the header is none that must be heeded."""
    match = RANGE.fullmatch(value) if value else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None  # not valid, so it is as if it were not there
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, end


class _Bytes(Response):
    """Sends the bytes as they are read, in constant memory, and stops when nobody takes them any more.

    `Connection` cuts off who takes too little. Where the server can have the kernel send a whole file, it does (ASGI
    extension `http.response.pathsend`).
    """

    def __init__(self, content: Content, start: int, end: int, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status, {**headers, "Content-Length": str(end - start)})
        self._content = content
        self._start, self._end = start, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin: Message = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(begin)
            await send({"type": "http.response.body", "body": b""})
            return
        whole = self._end - self._start == self._content.size
        if whole and "http.response.pathsend" in scope.get("extensions", {}) and (path := self._content.path):
            if not await asyncio.to_thread(path.is_file):
                raise BlobMissing
            await send(begin)
            await send({"type": "http.response.pathsend", "path": str(path.resolve())})
            return
        async with self._content.read(self._start, self._end) as blocks:
            await send(begin)
            leaving = asyncio.create_task(_until_it_leaves(receive))
            try:
                async for block in blocks:
                    for at in range(0, len(block), PIECE):
                        piece = block[at : at + PIECE]
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                        if leaving.done():
                            return
            finally:
                leaving.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _until_it_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_ALWAYS: Final = named_headers(**{"ETag": "The SHA-256 of the content.", "Accept-Ranges": "`bytes`."})
_HEADERS: Final = _ALWAYS | named_headers(**{"Content-Disposition": "The file's name (RFC 6266)."})
_PART: Final = named_headers(**{"Content-Range": "Which part it is, or how much there is (RFC 9110 section 14.4)."})
ANY_TYPE: Final = ("application/octet-stream", "*/*")
"""What a file holds is of the type that it came with. The first is one of those, and known to all clients."""


def answers(*refusals: type[Refusal], types: Sequence[str] = ANY_TYPE) -> dict[int | str, dict[str, Any]]:
    """What a call that serves content of these types can answer."""
    binary = {"schema": {"type": "string", "format": "binary"}, "example": "the bytes of the file"}
    content = {name: deepcopy(binary) for name in types}
    return errors(*refusals, BlobMissing, validated=True) | {
        200: {"description": "The content.", "headers": _HEADERS, "content": content},
        206: {"description": "The part of it that was asked for.", "headers": _HEADERS | _PART, "content": content},
        304: {"description": "The client has this content already.", "headers": _ALWAYS},
        412: described(412, {"version_mismatch": ANOTHER}),
        416: described(416, {"range_not_satisfiable": OUTSIDE}) | {"headers": _PART},
    }


async def _conditions(
    range_: Annotated[
        str | None, Header(alias="Range", description="One range of bytes: `bytes=0-99`, `bytes=100-`, `bytes=-100`.")
    ] = None,
    _ifrange_: Annotated[
        str | None, Header(alias="If-Range", description="The range only if the content still has this `ETag`.")
    ] = None,
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="Only if the content still has this `ETag`.")
    ] = None,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="Not if the content still has this `ETag`.")
    ] = None,
) -> None:
    """The headers that `serve` heeds, for the OpenAPI document."""


Conditions = Depends(_conditions)
