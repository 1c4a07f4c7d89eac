"""HEAD on whatever answers GET (RFC 9110 section 9.3.2)."""

from collections.abc import Iterable

from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Enough(Exception):
    """Ends an answer that would go on, once it has begun: nobody gets to see more of it."""


class HeadAsGet:
    """Asks the app as if it were GET, and passes the head of the answer on, `Content-Length` too, without its body.

    A stream is ended at its first piece, so that a HEAD on it costs next to nothing. The paths in `own` answer HEAD
    themselves.
    """

    def __init__(self, app: ASGIApp, own: Iterable[str] = ()) -> None:
        self._app = app
        self._own = [compile_path(path)[0] for path in own]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        if not is_head or any(path.match(scope["path"]) for path in self._own):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            await send({"type": "http.response.body"})
            if message.get("more_body"):
                raise _Enough

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send_head)
        except _Enough:
            pass
        finally:
            scope.update(asked | {"method": "HEAD"})  # with what the app noted: the route, and who asked
