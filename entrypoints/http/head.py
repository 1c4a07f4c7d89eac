"""HEAD on whatever answers GET (RFC 9110 section 9.3.2)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Enough(Exception):
    """Ends an answer that would go on, once it has begun: nobody gets to see more of it."""


class HeadAsGet:
    """Asks the app as if it were GET, and passes the head of the answer on, `Content-Length` too, without its body.

    A stream is ended at its first piece, so that a HEAD on it costs next to nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
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
