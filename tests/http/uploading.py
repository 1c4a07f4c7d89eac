"""Uploading in tests."""

from typing import Any, Final

from tests.running_app import RunningApp
from tests.s3_servers import client_of

Headers = dict[str, str]
TEA: Final = b"tea" * 100_000


async def upload(
    app: RunningApp, headers: Headers, content: bytes = TEA, filename: str = "tea.txt", content_type: str = "text/plain"
) -> dict[str, Any]:
    """A stored file, as it is answered."""
    response = await app.http.post("/files/upload", files={"file": (filename, content, content_type)}, headers=headers)
    assert response.status_code == 201, response.text
    file: dict[str, Any] = response.json()
    return file


def stored(app: RunningApp) -> dict[str, bytes]:
    """What the storage holds, by its name: blobs by their hash, and whatever is still staged."""
    return {path.rpartition("/")[2]: content for path, content in _kept(app).items()}


def staged(app: RunningApp) -> list[str]:
    """The names of what is staged in the storage."""
    return [path.removeprefix("staging/") for path in _kept(app) if path.startswith("staging/")]


def _kept(app: RunningApp) -> dict[str, bytes]:
    if app.settings.storage_backend == "local":
        folder = app.data / "files"
        found = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    assert app.settings.s3_endpoint_url is not None
    client, bucket = client_of(app.settings.s3_endpoint_url), app.settings.s3_bucket
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    unfinished = [each["Key"] for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
    return {
        **dict.fromkeys(unfinished, b""),
        **{key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys},
    }


def form(*parts: bytes, boundary: bytes = b"line", end: bytes = b"--line--\r\n") -> tuple[bytes, Headers]:
    """A form written by hand: its body, and the header that it goes with."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + end
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}


def part(name: bytes = b"file", filename: bytes | None = b"a.txt", content: bytes = b"tea", more: bytes = b"") -> bytes:
    """A part of such a form. `more` are lines of headers, each with its end."""
    named = b"" if filename is None else b'; filename="' + filename + b'"'
    return b'Content-Disposition: form-data; name="' + name + b'"' + named + b"\r\n" + more + b"\r\n" + content
