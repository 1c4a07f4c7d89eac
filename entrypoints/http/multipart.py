"""Uploads as forms (RFC 7578), read as they come: nothing of a file is ever held but the chunk that just arrived."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header
from starlette.requests import Request

from application.uploads import Upload
from domain.files import FileTooLarge, InvalidFilename, label
from entrypoints.http.bodies import declared_length, has_body, is_encoded, media_type, upload_of
from entrypoints.http.errors import body_too_large, malformed_body, unsupported_media_type

LARGEST_REST: Final = 1024 * 1024
"""Bytes of a body that are not those of its files."""
LARGEST_HEADER: Final = 32 * 1024
"""Bytes of one header of a part: a name of 4,096 characters, each of four bytes, fits in."""
MOST_HEADERS: Final = 8
"""Of one part."""
MALFORMED: Final = "The body is not a valid multipart form"
QUOTED: Final = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))
"""How browsers write these three in a name (HTML, section 4.10.22.8)."""

_Event = dict[str, str] | bytes | None
"""The headers of a part; some of its bytes; its end."""


async def uploads(request: Request, field: str, *, most: int, limit: int) -> AsyncIterator[Upload]:
    """The files of that field, 1 to `most` of up to `limit` bytes, while they come: each is to be read before the next.

    Raises 400 `malformed_body`, also when the body ends early; 408 when nothing comes for 30 seconds; `FileTooLarge`
    at once when the body is said to be larger than all files together may be; 415; and a 422 for a form of another
    shape.
    """
    body = _Body(request, _boundary(request, field))
    if declared_length(request) > most * limit + LARGEST_REST:
        raise FileTooLarge(limit)
    count = 0
    while (headers := await body.next_part()) is not None:
        name, filename = _names(headers)
        if name != field:
            raise _invalid(name, "Extra inputs are not permitted", "extra_forbidden")
        if filename is None:
            raise _invalid(field, "Must be a file", "file")
        count += 1
        if count > most:
            raise _invalid(field, f"Must be at most {most} files", "too_long")
        try:
            label(filename)
        except InvalidFilename as error:
            raise _invalid(field, str(error), "filename") from None
        yield Upload(filename, headers.get("content-type"), body.bytes_of_part())
    if count == 0:
        raise _missing(field)


def _boundary(request: Request, field: str) -> bytes:
    if not has_body(request):
        raise _missing(field)
    if media_type(request) != "multipart/form-data" or is_encoded(request):
        raise unsupported_media_type("multipart/form-data")
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:  # RFC 2046 section 5.1.1
        raise malformed_body(MALFORMED)
    return boundary


def _names(headers: dict[str, str]) -> tuple[str, str | None]:
    """The field, and the file's name as the client gives it; None if it is no file."""
    kind, parameters = parse_options_header(headers.get("content-disposition"))
    if kind != b"form-data" or b"name" not in parameters:
        raise malformed_body(MALFORMED)
    if headers.get("content-transfer-encoding", "binary").lower() not in ("binary", "7bit", "8bit"):
        raise malformed_body("The parts of the form must not be encoded")
    return _text(parameters[b"name"]), _text(parameters[b"filename"]) if b"filename" in parameters else None


def _text(value: bytes) -> str:
    """What is not UTF-8 becomes surrogates, which no label keeps."""
    text = value.decode(errors="surrogateescape")
    for written, meant in QUOTED:
        text = text.replace(written, meant)
    return text


def _invalid(field: str, message: str, kind: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("body", field), "msg": message, "type": kind}])


def _missing(field: str) -> RequestValidationError:
    return _invalid(field, "Field required", "missing")


class _Body:
    """The parts of a body, one after the other."""

    def __init__(self, request: Request, boundary: bytes) -> None:
        self._chunks = upload_of(request)
        self._events: deque[_Event] = deque()
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._received = self._in_parts = 0
        self._in_part = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_to_name,
                "on_header_value": self._add_to_value,
                "on_header_end": self._end_header,
                "on_headers_finished": lambda: self._events.append(self._headers),
                "on_part_data": self._add_data,
                "on_part_end": lambda: self._events.append(None),
            },
            max_header_count=MOST_HEADERS,
            max_header_size=LARGEST_HEADER,
        )

    async def next_part(self) -> dict[str, str] | None:
        """The headers of the next part, their names in lower case; what is left of this one is passed over. None once
        the whole body has been read."""
        async for _ in self.bytes_of_part():
            pass
        event = await self._next()
        assert not isinstance(event, bytes)  # a part begins with its headers
        self._in_part = event is not None
        return event

    async def bytes_of_part(self) -> AsyncIterator[bytes]:
        """What is left of this part."""
        while self._in_part:
            event = await self._next()
            if event is None:
                self._in_part = False
            else:
                assert isinstance(event, bytes)  # the next headers come after the end
                yield event

    async def _next(self) -> _Event:
        """None at the end of a part, and at the end of the body."""
        while not self._events:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                if self._received and self._parser.state != MultipartState.END:
                    raise malformed_body("The body ends before the form does")
                return None
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise malformed_body(MALFORMED) from None
            self._received += len(chunk)
            if self._received - self._in_parts > LARGEST_REST:
                raise body_too_large(LARGEST_REST)
        return self._events.popleft()

    def _begin_part(self) -> None:
        self._headers = {}

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._in_parts += end - start
        self._events.append(data[start:end])


def form_of(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    """What the OpenAPI document says of such a form."""
    content = {
        "schema": {
            "type": "object",
            "properties": {field: schema},
            "required": [field],
            "additionalProperties": False,
        }
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": content}}}


FILE: Final = {"type": "string", "format": "binary", "examples": ["the bytes of the file"]}
"""One file of a form, in the OpenAPI document."""
