"""`Idempotency-Key`: a POST that creates is done once, and answered alike however often it is sent."""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Header, Request, Response

from application.idempotency import DoOnce
from application.ports.persistence import Also
from domain.idempotency import Attempt, IdempotencyInProgress, IdempotencyKeyReused
from entrypoints.http.dependencies import CurrentActor
from entrypoints.http.documentation import INVALID_KEY, named_headers
from entrypoints.http.errors import RequestError

T = TypeVar("T")

KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
IDEMPOTENT: Final = (IdempotencyKeyReused, IdempotencyInProgress)
"""What every call that honours the header can answer."""
REPLAYED: Final = named_headers(**{"Idempotency-Replayed": "`true` where an answer is given again."})
"""What those calls say beside their answer, in the OpenAPI document."""
KEPT_HEADERS: Final = ("content-type", "location", "etag")


@dataclass(frozen=True, slots=True)
class Idempotency:
    """How this request is to be done: once under its key, if it has one."""

    attempt: Attempt | None
    do_once: Callable[[], DoOnce]
    """Gives the use case; few requests have a key and need it."""

    async def __call__(
        self, create: Callable[[Also[T] | None], Awaitable[T]], answer: Callable[[T], Response]
    ) -> Response:
        """The answer to what `create` makes now, or made under this key before."""
        if self.attempt is None:
            return answer(await create(None))
        text, given_before = await self.do_once()(self.attempt, create, lambda thing: _written(answer(thing)))
        response = _read(text)
        if given_before:
            response.headers["Idempotency-Replayed"] = "true"
        return response


def _written(answer: Response) -> str:
    headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    return json.dumps([answer.status_code, headers, bytes(answer.body).decode()])


def _read(text: str) -> Response:
    status, headers, body = json.loads(text)
    return Response(body, status, headers)


async def _idempotency(
    request: Request,
    actor: CurrentActor,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="1 to 255 visible ASCII characters. The first 2xx answer under it is kept for 24 hours and "
            "given again; while that request is under way, another one under the key is refused.",
        ),
    ] = None,
) -> Idempotency:
    """Raises 400 `invalid_idempotency_key`."""
    do_once = request.app.state.container.do_once
    if key is None:
        return Idempotency(None, do_once)
    if not KEY.fullmatch(key) or len(request.headers.getlist("idempotency-key")) > 1:
        raise RequestError(400, "invalid_idempotency_key", INVALID_KEY)
    asked = f"{request.method} {request.scope['path']}\n".encode() + await request.body()
    return Idempotency(Attempt(actor.user.id, key, sha256(asked).hexdigest()), do_once)


Once = Annotated[Idempotency, Depends(_idempotency)]
