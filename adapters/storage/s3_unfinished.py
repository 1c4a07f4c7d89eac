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
from urllib.request import Request, urlopen
from xml.etree import ElementTree

from adapters.storage.names import made_at
from domain.errors import Unavailable

TIMEOUT: Final = 30.0
"""Seconds for a request."""
MOST_PAGES: Final = 100
"""Pages of 1,000 uploads that are looked through at once; the next sweep finds the rest."""
NOTHING: Final = sha256(b"").hexdigest()
UNRESERVED: Final = "-_.~"

log = logging.getLogger(__name__)


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
            listing = await asyncio.to_thread(self._ask, "GET", "", {"uploads": "", "prefix": prefix, **markers})
            if listing is None:
                break
            for upload in listing.iterfind("{*}Upload"):
                name = _text(upload, "Key")
                made = made_at(name.removeprefix(prefix))
                if made is not None and made < before:
                    await asyncio.to_thread(self._ask, "DELETE", f"/{name}", {"uploadId": _text(upload, "UploadId")})
                    aborted += 1
            if _text(listing, "IsTruncated") != "true":
                break
            markers = {
                "key-marker": _text(listing, "NextKeyMarker"),
                "upload-id-marker": _text(listing, "NextUploadIdMarker"),
            }
        return aborted

    def _ask(self, method: str, path: str, query: dict[str, str]) -> ElementTree.Element | None:
        """What the service answers; None if that is nothing, or that there is no such thing."""
        try:
            with urlopen(self._signed(method, path, query, datetime.now(UTC)), timeout=TIMEOUT) as response:  # noqa: S310 - the settings allow http and https only
                body = response.read()
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
        return Request(url, headers=headers, method=method)  # noqa: S310 - as above


def _text(element: ElementTree.Element, name: str) -> str:
    return element.findtext(f"{{*}}{name}") or ""
