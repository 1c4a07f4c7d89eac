"""How the tus protocol 1.0.0 is spoken (https://tus.io/protocols/resumable-upload): its headers, its bodies, and what
the OpenAPI document says of them.
"""

import base64
import binascii
from collections.abc import Callable, Coroutine, Mapping
from email.utils import format_datetime
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from domain.errors import Refusal
from domain.resumable import ALGORITHMS, Checksum, ResumableUpload
from entrypoints.http.bodies import ENDS_EARLY, IDLE_SECONDS, is_encoded, media_type, no_data_for
from entrypoints.http.documentation import SIGNED_IN, described, errors
from entrypoints.http.errors import RequestError, answer_to, unsupported_media_type

VERSION: Final = "1.0.0"
OFFSET_OCTETS: Final = "application/offset+octet-stream"
EXTENSIONS: Final = "creation,creation-with-upload,checksum,termination,expiration"
GREATEST: Final = 2**63 - 1


class TusRoute(APIRoute):
    """Speaks one version of the protocol only, and says so on every answer, errors too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_tus(request: Request) -> Response:
            try:
                if request.method != "OPTIONS" and request.headers.get("tus-resumable") != VERSION:
                    raise unsupported_version()
                response = await handle(request)
            except Exception as error:
                response = await answer_to(request, error)
            response.headers["Tus-Resumable"] = VERSION
            return response

        return handle_tus


def unsupported_version() -> RequestError:
    return RequestError(
        412, "unsupported_version", f"The Tus-Resumable header must be {VERSION}", {"Tus-Version": VERSION}
    )


def _invalid_header(message: str) -> RequestError:
    return RequestError(400, "invalid_header", message)


def whole_number(request: Request, name: str) -> int:
    """A larger one than fits anywhere is taken for the greatest. Raises 400 `invalid_header`."""
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdecimal()):
        raise _invalid_header(f"{name} must be a whole number")
    significant = text.lstrip("0") or "0"
    return min(int(significant), GREATEST) if len(significant) <= len(str(GREATEST)) else GREATEST


def metadata_in(text: str) -> Mapping[str, str]:
    """What `Upload-Metadata` says: keys, each with a value in Base64 or none. Raises 400 `invalid_header`."""
    found: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, _, value = pair.partition(" ")
        try:
            decoded = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            raise _invalid_header("The values in Upload-Metadata must be UTF-8 in Base64") from None
        if key in found or not (key.isascii() and key.isprintable()):
            raise _invalid_header("The keys in Upload-Metadata must be ASCII, and each there once")
        found[key] = decoded
    return found


def checksum_of(request: Request) -> Checksum | None:
    """Raises 400 `invalid_header`, also for an algorithm that isn't known."""
    if (text := request.headers.get("upload-checksum")) is None:
        return None
    algorithm, _, digest = text.partition(" ")
    try:
        return Checksum(_known(algorithm), base64.b64decode(digest, validate=True))
    except (binascii.Error, ValueError):
        raise _invalid_header(
            f"Upload-Checksum must be an algorithm ({', '.join(ALGORITHMS)}) and a digest in Base64"
        ) from None


def _known(algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise ValueError
    return algorithm


def must_be_octets(request: Request) -> None:
    if media_type(request) != OFFSET_OCTETS or is_encoded(request):
        raise unsupported_media_type(OFFSET_OCTETS)


def headers_of(upload: ResumableUpload) -> dict[str, str]:
    headers = {"Upload-Offset": str(upload.offset)}
    if upload.file_id is None:
        headers["Upload-Expires"] = format_datetime(upload.expires_at, usegmt=True)
    else:
        headers["Portico-File-Id"] = str(upload.file_id)
    return headers


def tus_errors(*refusals: type[Refusal], body: bool = False) -> dict[int | str, dict[str, Any]]:
    answers = errors(*SIGNED_IN, *refusals, validated=True)
    answers |= {412: described(412, {"unsupported_version": f"The Tus-Resumable header must be {VERSION}"})}
    if body:
        wrong_type = f"The body must be {OFFSET_OCTETS}, without a content encoding"
        malformed = {"malformed_body": ENDS_EARLY, "invalid_header": "Upload-Offset must be a whole number"}
        answers |= {
            400: described(400, malformed),
            408: described(408, {"request_timeout": no_data_for(IDLE_SECONDS)}),
            415: described(415, {"unsupported_media_type": wrong_type}),
        }
    return answers


def answer(description: str, *names: str) -> dict[str, Any]:
    return {"description": description, "headers": {name: {"schema": {"type": "string"}} for name in names}}


def said_of_request(*names: str, body: bool = False, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the OpenAPI document says of the request."""
    parameters = [
        {
            "name": name,
            "in": "header",
            "required": name in required,
            "schema": {"type": "string"},
            "example": EXAMPLES[name],
        }
        for name in names
    ]
    content = {OFFSET_OCTETS: {"schema": {"type": "string", "format": "binary", "examples": ["the next bytes"]}}}
    return {"parameters": parameters} | ({"requestBody": {"content": content}} if body else {})


EXAMPLES: Final = {
    "Tus-Resumable": VERSION,
    "Upload-Length": "1073741824",
    "Upload-Offset": "0",
    "Upload-Metadata": "filename cmVwb3J0LnBkZg==,filetype YXBwbGljYXRpb24vcGRm",
    "Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
}
