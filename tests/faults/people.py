"""People who use a deployment while it fails, and remember all that they were promised.

What was answered is certain; a request without an answer may have been done, or be done later: its person asks again,
in a way that can't do it twice, until it is certain. So at the end everything is. An answer that nobody should get is
found wrong at once: what people do is in `doings`, what is compared at the end in `checking`.
"""

import asyncio
import base64
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import httpx2

from tests.faults.listening import Follower
from tests.running_app import PASSWORD, bearer

REQUEST_SECONDS: Final = 20.0
PAUSE: Final = 0.2
"""Seconds between two tries of one request."""
CERTAIN_SECONDS: Final = 60.0
"""How long somebody tries to make one thing certain."""
NONE: Final = frozenset[int]()


class WentWrong(Exception):
    """An answer that should not be, or none at all; it is among the `wrong` of the person already."""


class Stored(NamedTuple):
    """A file whose upload was acknowledged."""

    name: str
    sha256: str


class Cause(NamedTuple):
    """What causes one mail: the request's id, and whom the mail goes to."""

    recipient: str
    request_id: str


@dataclass
class Person:
    """One account and what its owner did with it. `wrong` lists whatever nobody should ever see."""

    name: str
    address: str
    """Of the deployment."""
    random: random.Random
    clocks_agree: Callable[[], bool] = lambda: True
    """Whether all hosts know what time it is: one that doesn't may take a good token for an old one."""
    breath: float = 0.0
    """Seconds between two things that this one does."""
    others: Sequence["Person"] = ()
    """Those whose things this one tries to get at."""
    id: int = 0
    passwords: list[str] = field(default_factory=lambda: [PASSWORD])
    """The password; two while it is uncertain which it is."""
    pair: dict[str, Any] = field(default_factory=dict)
    """The tokens in use."""
    items: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Those that must be there, as they were last answered; of imports none."""
    creations: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The number of each creation, and what was answered to it."""
    files: dict[int, Stored] = field(default_factory=dict)
    """Those that must be there."""
    doubts: Counter[str] = field(default_factory=Counter)
    """How often a file of that name may be there besides: an upload has no key that keeps it from being done twice."""
    imports: dict[int, str] = field(default_factory=dict)
    """The number of each import that was accepted, and the id of its task."""
    friends: list[str] = field(default_factory=list)
    """Addresses of accounts that must be there; one's own is the first."""
    gone: list[str] = field(default_factory=list)
    """Addresses of accounts that were deleted."""
    revoked: list[str] = field(default_factory=list)
    """Access tokens of sessions that have ended."""
    mails: set[Cause] = field(default_factory=set)
    """Those that must arrive."""
    needless: set[Cause] = field(default_factory=set)
    """Those that need not: their recipient may have gone before."""
    requests: int = 0
    unanswered: int = 0
    refusals: Counter[int] = field(default_factory=Counter)
    """How often each status came that says: not now."""
    wrong: list[str] = field(default_factory=list)

    @property
    def email(self) -> str:
        return f"{self.name}@example.org"

    @property
    def token(self) -> str:
        return str(self.pair["access_token"])

    async def live(self, stop: asyncio.Event, doings: Mapping["Doing", int]) -> None:
        """Register, and then do one thing after the other, each as often as it says, until told to stop."""
        limits = httpx2.Limits(max_connections=4)
        async with httpx2.AsyncClient(
            base_url=f"{self.address}/api/v1", timeout=REQUEST_SECONDS, limits=limits, verify=False, trust_env=False
        ) as self._http:
            with suppress(WentWrong):
                await self._begin()
                number = 0
                while not stop.is_set():
                    number += 1
                    (doing,) = self.random.choices(list(doings), list(doings.values()))
                    await doing(self, number)
                    await asyncio.sleep(self.breath)

    async def _begin(self) -> None:
        await self.open_account(self.email, 0)
        await self.sign_in()
        self.id = (await self.certain("GET", "/users/me")).json()["id"]
        self.follower = Follower(self.address, lambda: self.token, self.list_of)
        self.following = asyncio.create_task(self.follower.follow())
        await self.follower.listens.wait()

    async def list_of(self, path: str) -> list[dict[str, Any]]:
        """The newest there."""
        answer = await self.certain("GET", path, params={"limit": 100})
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def open_account(self, email: str, number: int) -> None:
        """An address that is taken at a second try was given to us at the first."""
        cause = Cause(email, f"registration-{self.name}-{number}")
        body = {"email": email, "password": PASSWORD}
        await self.certain("POST", "/users/", {201}, again={409}, json=body, headers={"X-Request-ID": cause.request_id})
        self.friends.append(email)
        self.mails.add(cause)

    async def sign_in(self) -> None:
        """From now on, use a session that is new."""
        self.use(await self.signed_in())

    def use(self, pair: dict[str, Any]) -> None:
        """From now on, these tokens."""
        self.pair = pair
        self._http.headers.update(bearer(pair))

    async def signed_in(self) -> dict[str, Any]:
        """The tokens of another session."""
        for password in self.passwords:
            answer = await self.certain("POST", "/auth/login", {200, 401}, json=self.credentials(password))
            if answer.status_code == 200:
                pair: dict[str, Any] = answer.json()
                return pair
        raise self.went_wrong(f"none of {self.passwords} signs in")

    def credentials(self, password: str) -> dict[str, str]:
        return {"email": self.email, "password": password}

    def went_wrong(self, what: str) -> WentWrong:
        self.wrong.append(f"{self.name}: {what}")
        return WentWrong(what)

    async def certain(
        self, method: str, path: str, good: Set[int] = frozenset({200}), *, again: Set[int] = NONE, **request: Any
    ) -> httpx2.Response:
        """The answer that says how it is: one of `good`, or of `again` where an earlier try may have been carried out.

        Raises `WentWrong` when there is none in time, or one that should not be.
        """
        answer, _ = await self.certain_but(method, path, good, again=again, **request)
        return answer

    async def certain_but(
        self, method: str, path: str, good: Set[int], *, again: Set[int] = NONE, **request: Any
    ) -> tuple[httpx2.Response, int]:
        """The same, and how many tries may have been carried out besides."""
        doubtful = 0
        last = "nothing"
        try:
            async with asyncio.timeout(CERTAIN_SECONDS):
                while True:
                    agreed = self.clocks_agree()  # a host may be told the time again before its answer comes
                    answer = await self._ask(method, path, **request)
                    status = answer.status_code if answer is not None else 0
                    if answer is not None and (status in good or (status in again and doubtful)):
                        return answer, doubtful
                    if answer is None or status in (502, 503, 504):
                        doubtful += 1
                    elif status == 401 and not (agreed and self._must_be_known()):
                        await self.sign_in()
                    elif status != 507 and not (status == 409 and answer.json()["code"] == "idempotency_in_progress"):
                        raise self.went_wrong(f"{method} {path} answered {status}: {answer.text[:300]}")
                    last = answer.text[:300] if answer is not None else "no answer"
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise self.went_wrong(f"{method} {path} had no answer that is certain, but {last}") from None

    def _must_be_known(self) -> bool:
        """Whether the token in use must hold everywhere."""
        is_settled = len(self.passwords) == 1  # a change of it ends sessions, whenever it is carried out
        return is_settled and self.clocks_agree() and claims(self.token)["exp"] > time.time()

    async def _ask(self, method: str, path: str, **request: Any) -> httpx2.Response | None:
        """The answer, or None where there is none that says anything."""
        self.requests += 1
        try:
            answer = await self._http.request(method, path, **request)
        except httpx2.TransportError:
            self.unanswered += 1
            return None
        self.refusals.update({answer.status_code: 1} if answer.status_code > 500 else {})
        return answer


Doing = Callable[[Person, int], Any]
"""What somebody does, with the number of that."""


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return read
