"""Uploading in tests."""

from typing import Any, Final

from tests.running_app import RunningApp

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
    """What lies on the disk, by its name: blobs by their hash, and whatever is still staged."""
    folder = app.data / "files"
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def form(*parts: bytes, boundary: bytes = b"line", end: bytes = b"--line--\r\n") -> tuple[bytes, Headers]:
    """A form written by hand: its body, and the header that it goes with."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + end
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}


def part(name: bytes = b"file", filename: bytes | None = b"a.txt", content: bytes = b"tea", more: bytes = b"") -> bytes:
    """A part of such a form. `more` are lines of headers, each with its end."""
    named = b"" if filename is None else b'; filename="' + filename + b'"'
    return b'Content-Disposition: form-data; name="' + name + b'"' + named + b"\r\n" + more + b"\r\n" + content
