"""Somebody who looks whether every application host does again all that it is there for."""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.faults.cluster import Application, Cluster
from tests.faults.processes import START_SECONDS
from tests.running_app import PASSWORD, bearer

EMAIL: Final = "watch@example.org"
RECOVERY_SECONDS: Final = 10.0
"""Within which all must be well again once a fault is over, without a restart."""
LOOKS: Final = 4
"""As many looks as may have to be taken besides: nobody can tell how it is any sooner."""
PAUSE: Final = 0.1
ANSWER_SECONDS: Final = 5.0
AT_ONCE: Final = 6
"""Mails asked for at a time: more than one worker can be quick enough to take for itself."""


class TooLate(Exception):
    """All was well again, but not in time."""


class NotWell(Exception):
    """Something that a host that is well does not answer."""


@dataclass
class Watch:
    """Asks each host itself, and not through the proxy, which passes over one that is away."""

    cluster: Cluster
    waits_for: str = "answers"
    """What it has not got yet."""

    async def recovers(self) -> float:
        """Look until all is well; the seconds that this took, with the last look.

        Raises `TooLate` if it was not well in time. How long a look takes on a busy machine is no fault of the hosts.
        """
        took = await self.all_well()
        if took > RECOVERY_SECONDS and took > RECOVERY_SECONDS + LOOKS * (usual := await self.all_well()):
            raise TooLate(f"well again only after {took:.1f} s, where what is well is found so within {usual:.1f} s")
        return took

    async def all_well(self) -> float:
        """Return once every host does all of it: stores, tells of changes, works; the seconds that this took."""
        began = time.monotonic()
        reason: Exception | None = None
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    try:
                        await self.cluster.all_up(START_SECONDS)
                        await self._everything()
                    except (NotWell, httpx2.TransportError, OSError, WebSocketException) as error:
                        reason = error
                        await asyncio.sleep(PAUSE)
                    else:
                        return time.monotonic() - began
        except TimeoutError:
            waited = f"waited for {self.waits_for}, and met {reason!r}"
            raise TimeoutError(f"not well after {START_SECONDS:g} s: {waited}") from reason

    async def upload(self, application: Application, size: int) -> int:
        """The status that a file of that many bytes is answered with there."""
        async with self._client(application) as http:
            await self._sign_in(http)
            return await self._uploaded(http, size)

    async def ask_for_mail(self, application: Application) -> None:
        async with self._client(application) as http:
            await self._asked_for_mail(http)

    async def _everything(self) -> None:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(self._client(one)) for one in self.cluster.applications]
            self.waits_for = "answers"
            before = [await self._jobs_done(http) for http in clients]
            _must({201, 409}, await clients[0].post("/users/", json={"email": EMAIL, "password": PASSWORD}))
            for http in clients:
                await self._sign_in(http)
                if (status := await self._uploaded(http, 1000)) != 201:
                    raise NotWell(f"{http.base_url} answered {status} to an upload")
            await self._tell(clients)
            await self._work(clients, before)

    async def _tell(self, clients: Sequence[httpx2.AsyncClient]) -> None:
        """What is changed at one host is told at each."""
        async with AsyncExitStack() as stack:
            sockets = []
            for http in clients:
                address = http.base_url.copy_with(scheme="ws", path="/ws/protected")
                connection = connect(
                    str(address),
                    additional_headers={"Authorization": http.headers["Authorization"]},
                    open_timeout=ANSWER_SECONDS,
                    close_timeout=1,
                    proxy=None,
                )
                sockets.append(socket := await stack.enter_async_context(connection))
                await socket.send('{"action": "subscribe", "channel": "items"}')
                await _hears(socket, "subscribed", set())
            self.waits_for = "changes to be told"
            made = set()
            for http in clients:
                made.add(_must({201}, await http.post("/items/", json={"title": "is well"})).json()["id"])
            await asyncio.gather(*(_hears(socket, "item.created", made) for socket in sockets))

    async def _work(self, clients: Sequence[httpx2.AsyncClient], before: Sequence[float]) -> None:
        """Each host has done some of the background work, and all mails have arrived that are asked for now."""
        self.waits_for = "mails"
        while True:
            mails = self._mails() + AT_ONCE
            for _ in range(AT_ONCE):
                await self._asked_for_mail(clients[0])
            while self._mails() < mails:  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(PAUSE)
            now = [await self._jobs_done(http) for http in clients]
            self.waits_for = f"each application to do jobs: there were {before}, and are {now}"
            if all(more > less for more, less in zip(now, before, strict=True)):
                return

    def _mails(self) -> int:
        return sum(mail.recipient == EMAIL for mail in self.cluster.mail.messages)

    async def _jobs_done(self, http: httpx2.AsyncClient) -> float:
        text = (await http.get(str(http.base_url.copy_with(path="/metrics")))).text
        return sum(map(float, re.findall(r'^portico_jobs_total\{.*outcome="done".*\} (\S+)$', text, re.MULTILINE)))

    async def _uploaded(self, http: httpx2.AsyncClient, size: int) -> int:
        return (await http.post("/files/upload", files={"file": ("watch.bin", secrets.token_bytes(size))})).status_code

    async def _asked_for_mail(self, http: httpx2.AsyncClient) -> None:
        _must({202}, await http.post("/auth/password/forgot", json={"email": EMAIL}))

    def _client(self, application: Application) -> httpx2.AsyncClient:
        root = f"{application.process.root}/api/v1"
        return httpx2.AsyncClient(base_url=root, timeout=ANSWER_SECONDS, verify=False, trust_env=False)

    async def _sign_in(self, http: httpx2.AsyncClient) -> None:
        pair = _must({200}, await http.post("/auth/login", json={"email": EMAIL, "password": PASSWORD})).json()
        http.headers.update(bearer(pair))


def _must(good: set[int], answer: httpx2.Response) -> httpx2.Response:
    if answer.status_code not in good:
        raise NotWell(f"{answer.request.method} {answer.request.url} answered {answer.status_code}")
    return answer


async def _hears(socket: ClientConnection, event: str, ids: set[int]) -> None:
    """Return once it was told so of all these, or once at all."""
    heard = set[int]()
    async for text in socket:
        message = json.loads(text)
        if message["event"] == "error":
            raise NotWell(f"{socket.remote_address} was told {message}")
        if message["event"] == event:
            heard.add(message.get("data", {}).get("id", 0))
            if heard >= ids:
                return
    raise NotWell(f"{socket.remote_address} ended the connection")
