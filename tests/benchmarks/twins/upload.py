"""The least that an app does that takes an upload: it writes what comes into a file, hashes it, and syncs it."""

import hashlib
import os
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["DATA_DIR"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    if scope["method"] == "POST":
        await _store(receive)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


async def _store(receive: Any) -> None:
    digest, more = hashlib.sha256(), True
    with (FOLDER / "upload").open("wb") as file:
        while more:
            message = await receive()
            digest.update(message["body"])
            file.write(message["body"])
            more = message.get("more_body", False)
        file.flush()
        os.fsync(file.fileno())
    (FOLDER / "upload").rename(FOLDER / digest.hexdigest())
