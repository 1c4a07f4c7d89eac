"""Multipart uploads that a process began and died over. They can't be seen as objects, and obstore can't list them."""

import asyncio
import hmac
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener
from xml.etree import ElementTree

from adapters.storage.names import made_at
from domain.errors import Unavailable

WAIT: Final = 60.0
"""Seconds for a request. One that takes longer is given up; its thread may go on until the service says nothing."""
SILENCE: Final = 30.0
"""Seconds for each step of one: until the connection stands, and until the next bytes come."""
LARGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes: a page of 1,000 uploads has less than a tenth of it."""
MOST_PAGES: Final = 100
"""Pages of 1,000 uploads that are looked through at once; the next sweep finds the rest."""
NOTHING: Final = sha256(b"").hexdigest()
UNRESERVED: Final = "-_.~"

log = logging.getLogger(__name__)


class _NoRedirects(HTTPRedirectHandler):
    """An answer that leads elsewhere is an error: what signs a request is for this service alone."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


OPENER: Final = build_opener(_NoRedirects())
"""Goes through the proxy that the environment names, if it names one, as obstore does."""


@dataclass(frozen=True)
class UnfinishedUploads:
    """Those in one bucket. Requests are signed by AWS Signature Version 4, each in a thread."""

    endpoint_url: str
    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    async def abort(self, prefix: str, before: datetime) -> int:
        """Abort those of this prefix whose keys were made before that time; how many there were.

        The keys tell: not every service does when an upload was begun. Raises `Unavailable`.
        """
        aborted = 0
        markers: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            listing = await self._asked("GET", "", {"uploads": "", "prefix": prefix, **markers})
            if listing is None:
                break
            for upload in listing.iterfind("{*}Upload"):
                name = _text(upload, "Key")
                made = made_at(name.removeprefix(prefix))
                if made is not None and made < before:
                    await self._asked("DELETE", f"/{name}", {"uploadId": _text(upload, "UploadId")})
                    aborted += 1
            if _text(listing, "IsTruncated") != "true":
                break
            markers = {
                "key-marker": _text(listing, "NextKeyMarker"),
                "upload-id-marker": _text(listing, "NextUploadIdMarker"),
            }
        return aborted

    async def _asked(self, method: str, path: str, query: dict[str, str]) -> ElementTree.Element | None:
        try:
            async with asyncio.timeout(WAIT):
                return await asyncio.to_thread(self._ask, method, path, query)
        except TimeoutError as error:
            log.warning("unfinished uploads can't be looked for: no answer within %g s", WAIT)
            raise Unavailable from error

    def _ask(self, method: str, path: str, query: dict[str, str]) -> ElementTree.Element | None:
        """What the service answers; None if that is nothing, or that there is no such thing."""
        try:
            with OPENER.open(self._signed(method, path, query, datetime.now(UTC)), timeout=SILENCE) as response:
                body = response.read(LARGEST_ANSWER)  # one that is cut off there is no XML
                return ElementTree.fromstring(body) if body else None  # noqa: S314 - what keeps our files may be believed
        except HTTPError as error:
            with error:
                if error.code == 404:  # where there is none at all, rclone says so
                    return None
                log.warning("unfinished uploads can't be looked for: HTTP %d", error.code)
            raise Unavailable from None
        except (OSError, HTTPException, ElementTree.ParseError) as error:
            log.warning("unfinished uploads can't be looked for: %s", type(error).__name__)
            raise Unavailable from None

    def _signed(self, method: str, path: str, query: dict[str, str], now: datetime) -> Request:
        endpoint = urlsplit(self.endpoint_url)
        path = quote(f"{endpoint.path}/{self.bucket}{path}", safe=f"/{UNRESERVED}")
        pairs = [(quote(name, safe=UNRESERVED), quote(value, safe=UNRESERVED)) for name, value in query.items()]
        arguments = "&".join(f"{name}={value}" for name, value in sorted(pairs))
        headers = {"host": endpoint.netloc, "x-amz-content-sha256": NOTHING, "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = "\n".join((method, path, arguments, lines, names, NOTHING))
        scope = f"{now:%Y%m%d}/{self.region}/s3/aws4_request"
        to_sign = "\n".join(("AWS4-HMAC-SHA256", headers["x-amz-date"], scope, sha256(canonical.encode()).hexdigest()))
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        url = f"{endpoint.scheme}://{endpoint.netloc}{path}?{arguments}"
        return Request(url, headers=headers, method=method)  # noqa: S310 - the settings allow http and https only


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
