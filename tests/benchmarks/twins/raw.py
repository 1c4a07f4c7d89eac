"""The least that an upload can be: the raw stream, hashed and written as it comes, synced at its end."""

import os
from hashlib import sha256
from tempfile import TemporaryFile
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    digest = sha256()
    with TemporaryFile(dir=".") as file:
        while True:
            message = await receive()
            chunk = message.get("body", b"")
            digest.update(chunk)
            file.write(chunk)
            if not message.get("more_body"):
                break
        file.flush()
        os.fsync(file.fileno())
    body = digest.hexdigest().encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
