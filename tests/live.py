"""WebSocket clients, as a program with the `websockets` library is one."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.faults.processes import Process, register, sign_in
from tests.running_app import bearer

SECONDS: Final = 180.0
"""Within which what is waited for must come."""
PROTECTED: Final = "/ws/protected"


@dataclass
class Client:
    """One connection. What comes is JSON on `/ws/protected`, and text elsewhere."""

    socket: ClientConnection

    async def send(self, action: str, **values: Any) -> None:
        await self.socket.send(json.dumps({"action": action, **values}))

    async def next(self) -> Any:
        """The next message."""
        return json.loads(await self.text())

    async def text(self) -> str:
        async with asyncio.timeout(SECONDS):
            text = await self.socket.recv()
        assert isinstance(text, str)
        return text

    async def subscribe(self, channel: str, after: str | None = None) -> Self:
        await self.send("subscribe", channel=channel, **({"after": after} if after else {}))
        assert await self.until("subscribed") == {"event": "subscribed", "channel": channel}
        return self

    async def until(self, event: str) -> Any:
        """The next message that is this event; what comes before is passed over."""
        while (message := await self.next())["event"] != event:
            pass
        return message

    async def some(self, count: int) -> list[Any]:
        return [await self.next() for _ in range(count)]

    async def is_quiet(self) -> bool:
        """Whether nothing came until now: what was sent before the answer to this comes before it."""
        await self.send("unsubscribe", channel="room:nowhere")
        return bool((await self.next())["event"] == "unsubscribed")

    async def ends(self) -> int:
        """The code that the other side ends the connection with; what comes before is passed over."""
        async with asyncio.timeout(SECONDS):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006


@dataclass
class Account:
    """Somebody with an account, at one server or several."""

    user: dict[str, Any]
    pair: dict[str, Any]
    clients: dict[int, httpx2.AsyncClient] = field(default_factory=dict)

    @property
    def token(self) -> str:
        return str(self.pair["access_token"])

    @property
    def headers(self) -> dict[str, str]:
        return bearer(self.pair)

    @property
    def seen(self) -> dict[str, Any]:
        """As others see this person."""
        return {"id": self.user["id"], "full_name": self.user["full_name"]}

    async def create(self, client: httpx2.AsyncClient, title: str = "Buy milk") -> dict[str, Any]:
        """An item of one's own."""
        answer = await client.post("/items/", json={"title": title}, headers=self.headers)
        assert answer.status_code == 201, answer.text
        item: dict[str, Any] = answer.json()
        return item


async def account(client: httpx2.AsyncClient, name: str = "ada") -> Account:
    """A new account, signed in."""
    address = f"{name}@example.org"
    await register(client, address)
    pair = (await sign_in(client, address)).json()
    headers = bearer(pair)
    await client.patch("/users/me", json={"full_name": name.title()}, headers=headers)
    return Account((await client.get("/users/me", headers=headers)).json(), pair)


@asynccontextmanager
async def connected(
    portico: Process,
    path: str = PROTECTED,
    *,
    token: str | None = None,
    headers: dict[str, str] | None = None,
    subprotocols: Sequence[str] | None = None,
    **more: Any,
) -> AsyncIterator[Client]:
    """A connection, as whoever has the token; on `/ws/protected`, the first message is still to come."""
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    async with connect(
        f"ws://127.0.0.1:{portico.port}{path}",
        additional_headers={**authorization, **(headers or {})},
        subprotocols=subprotocols,  # type: ignore[arg-type]  # a text is one
        open_timeout=SECONDS,
        close_timeout=2,
        ping_interval=None,  # who is slow is not given up
        proxy=None,
        **more,
    ) as socket:
        yield Client(socket)


@asynccontextmanager
async def greeted(portico: Process, who: Account, **more: Any) -> AsyncIterator[Client]:
    """A connection to `/ws/protected` that was told whose it is."""
    async with connected(portico, token=who.token, **more) as client:
        assert (await client.next())["event"] == "authenticated"
        yield client
