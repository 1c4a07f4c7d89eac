"""People who use a deployment while it fails, and remember all that they were promised.

What was answered is certain; a request without an answer may have been done, or be done later: its person asks again,
in a way that can't do it twice, until it is certain. So at the end everything is.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import httpx2

from tests.faults.listening import Follower
from tests.running_app import PASSWORD, bearer

REQUEST_SECONDS: Final = 20.0
PAUSE: Final = 0.2
"""Seconds between two tries of one request."""
ROWS: Final = 20
IMPORTED: Final = "imported"
CERTAIN_SECONDS: Final = 60.0
"""How long somebody tries to make the last thing certain."""


@dataclass
class Person:
    """One account and what its owner did with it. `wrong` lists whatever nobody should ever see."""

    name: str
    address: str
    """Of the deployment."""
    random: random.Random
    items: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Those that must be there, as they were last answered."""
    creations: dict[int, int] = field(default_factory=dict)
    """The number of each creation, and the id that came of it."""
    files: dict[str, str] = field(default_factory=dict)
    """The name of each upload that was acknowledged, and the SHA-256 of its bytes."""
    imports: dict[int, str] = field(default_factory=dict)
    """The number of each import that was accepted, and the id of its task."""
    friends: list[str] = field(default_factory=list)
    """Addresses whose registration was acknowledged."""
    requests: int = 0
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def email(self) -> str:
        return f"{self.name}@example.org"

    async def live(self, stop: asyncio.Event) -> None:
        """Register, and then do one thing after the other until told to stop."""
        limits = httpx2.Limits(max_connections=2)
        async with httpx2.AsyncClient(
            base_url=f"{self.address}/api/v1", timeout=REQUEST_SECONDS, limits=limits, verify=False, trust_env=False
        ) as self._http:
            await self._open_account(self.email)
            await self._sign_in()
            self.follower = Follower(self.address, self._token, self._fetch)
            self.following = asyncio.create_task(self.follower.follow())
            await self.follower.listens.wait()
            number = 0
            while not stop.is_set():
                number += 1
                await self._do_something(number)

    def _token(self) -> str:
        return self._http.headers["Authorization"].removeprefix("Bearer ")

    async def _fetch(self) -> list[dict[str, Any]]:
        """The newest of the items."""
        answer = await self._until_certain("GET", "/items/", {200}, params={"limit": 100})
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def _do_something(self, number: int) -> None:
        if not self.items:
            await self._create(number)
            return
        (doing,) = self.random.choices(list(FREQUENCIES), list(FREQUENCIES.values()))
        await doing(self, number)

    async def _open_account(self, email: str) -> None:
        """An address that is taken at a second try was given to us at the first."""
        await self._until_certain("POST", "/users/", {201, 409}, json={"email": email, "password": PASSWORD})
        self.friends.append(email)

    async def _sign_in(self) -> None:
        answer = await self._until_certain(
            "POST", "/auth/login", {200}, json={"email": self.email, "password": PASSWORD}
        )
        self._http.headers.update(bearer(answer.json()))

    async def _create(self, number: int) -> None:
        item = await self._created(number)
        self.creations[number] = item["id"]
        self._note(item)

    async def _create_again(self, number: int) -> None:
        """Somebody whose phone forgot that there was an answer."""
        again = self.random.choice(list(self.creations))
        item = await self._created(again)
        if item["id"] != self.creations[again]:
            self.wrong.append(f"creation {again} made {self.creations[again]} at first, and then {item['id']}")

    async def _created(self, number: int) -> dict[str, Any]:
        body = {"title": f"{self.name} {number}", "description": None}
        key = {"Idempotency-Key": f"{self.name}-{number}"}
        item: dict[str, Any] = (await self._until_certain("POST", "/items/", {201}, json=body, headers=key)).json()
        return item

    async def _edit(self, number: int) -> None:
        """With the version in `If-Match`, a try that comes late can't undo what followed."""
        item = self.random.choice(list(self.items.values()))
        path, match = f"/items/{item['id']}", {"If-Match": f'"{item["version"]}"'}
        change = {"description": f"edit {number}"}
        answer = await self._until_certain("PATCH", path, {200, 412}, json=change, headers=match)
        if answer.status_code == 412:
            answer = await self._until_certain("GET", path, {200})
            if answer.json()["description"] != change["description"]:
                self.wrong.append(f"{path} is {answer.json()}, but should be {item} or have {change}")
        self._note(answer.json())

    async def _delete(self, number: int) -> None:
        item = self.random.choice(list(self.items.values()))
        match = {"If-Match": f'"{item["version"]}"'}
        await self._until_certain("DELETE", f"/items/{item['id']}", {204, 404}, headers=match)
        del self.items[item["id"]]

    async def _look(self, number: int) -> None:
        item = self.random.choice(list(self.items.values()))
        answer = await self._until_certain("GET", f"/items/{item['id']}", {200})
        if answer.json() != item:
            self.wrong.append(f"item {item['id']} is {answer.json()}, but should be {item}")

    async def _upload(self, number: int) -> None:
        await self._uploaded(f"{self.name}-{number}.bin", self.random.randbytes(self.random.randrange(100_000)))

    async def _uploaded(self, name: str, content: bytes) -> int:
        """The id of the file. It may be there several times if an answer was lost: an upload has no key."""
        file = (await self._until_certain("POST", "/files/upload", {201}, files={"file": (name, content)})).json()
        self.files[name] = sha256(content).hexdigest()
        return int(file["id"])

    async def _import(self, number: int) -> None:
        rows = "".join(f"{title},from a file\n" for title in self.titles_of_import(number))
        file_id = await self._uploaded(f"{self.name}-{number}.csv", f"title,description\n{rows}".encode())
        body = {"kind": "import_items", "params": {"file_id": file_id}}
        key = {"Idempotency-Key": f"{self.name}-import-{number}"}
        answer = await self._until_certain("POST", "/tasks/start", {202}, json=body, headers=key)
        self.imports[number] = answer.json()["task_id"]

    def titles_of_import(self, number: int) -> list[str]:
        return [f"{self.name} {IMPORTED} {number}: {row}" for row in range(ROWS)]

    async def _bring_a_friend(self, number: int) -> None:
        await self._open_account(f"friend{number}-of-{self.email}")

    def _note(self, item: dict[str, Any]) -> None:
        self.items[item["id"]] = item

    async def _until_certain(self, method: str, path: str, good: set[int], **request: Any) -> httpx2.Response:
        """Ask until there is an answer that says how it is."""
        async with asyncio.timeout(CERTAIN_SECONDS):
            while True:
                answer = await self._ask(method, path, **request)
                if answer is not None and answer.status_code in good:
                    return answer
                await asyncio.sleep(PAUSE)

    async def _ask(self, method: str, path: str, **request: Any) -> httpx2.Response | None:
        """The answer, or None where there is none that says anything."""
        self.requests += 1
        try:
            answer = await self._http.request(method, path, **request)
        except httpx2.TransportError:
            self.unanswered += 1
            return None
        if answer.status_code == 401 and path != "/auth/login":
            await self._sign_in()  # a host with another clock
            return None
        if answer.status_code in (409, 502, 503, 504, 507) or answer.status_code < 500:
            return answer
        self.wrong.append(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return None


FREQUENCIES: Final = {
    Person._create: 4,
    Person._create_again: 2,
    Person._edit: 4,
    Person._delete: 1,
    Person._look: 3,
    Person._upload: 2,
    Person._import: 1,
    Person._bring_a_friend: 1,
}
"""What people do, and how often."""


async def missed(person: Person, items: list[dict[str, Any]]) -> list[str]:
    """What the follower was told wrong, or not within the time that everything has: it is stopped then."""
    there = {item["id"]: item for item in items}
    with suppress(TimeoutError):
        async with asyncio.timeout(CERTAIN_SECONDS):
            while person.follower.items != there:  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(PAUSE)
    person.following.cancel()
    await asyncio.gather(person.following, return_exceptions=True)
    told = person.follower.items
    wrong = [f"{person.name} {one}" for one in person.follower.wrong]
    if told != there:
        wrong.append(
            f"{person.name} was never told of {[item for item in items if told.get(item['id']) != item]}, "
            f"nor of the end of {[id_ for id_ in told if id_ not in there]}"
        )
    return wrong


async def found_wrong(people: Sequence[Person], address: str) -> list[str]:
    """What is not as it was promised, now that all is quiet. Empty if all is well."""
    wrong = [one for person in people for one in person.wrong]
    async with httpx2.AsyncClient(base_url=f"{address}/api/v1", timeout=30, verify=False, trust_env=False) as http:
        for person in people:
            wrong += await _compared(person, http)
    return wrong


async def _compared(person: Person, http: httpx2.AsyncClient) -> list[str]:
    wrong = []
    signed_in = {}
    for email in person.friends:
        answer = await http.post("/auth/login", json={"email": email, "password": PASSWORD})
        if answer.status_code != 200:
            wrong.append(f"{email} can't sign in: {answer.text}")
        signed_in[email] = answer
    http.headers.update(bearer(signed_in[person.email].json()))
    for task_id in person.imports.values():
        wrong += await _unfinished(task_id, http)
    items = await _all("/items/", http)
    imported = Counter(item["title"] for item in items if IMPORTED in item["title"])
    expected = Counter(title for number in person.imports for title in person.titles_of_import(number))
    if imported != expected:
        wrong.append(f"{person.name}'s imports: lost {expected - imported}, twice {imported - expected}")
    wrong += await missed(person, items)
    wrong += _differences(person, [item for item in items if IMPORTED not in item["title"]])
    wrong += await _lost_files(person, await _all("/files/", http), http)
    return wrong


def _differences(person: Person, found: list[dict[str, Any]]) -> list[str]:
    expected = sorted(person.items.values(), key=lambda item: item["id"])
    found.sort(key=lambda item: item["id"])
    if found == expected:
        return []
    lost = [item for item in expected if item not in found]
    extra = [item for item in found if item not in expected]
    return [f"{person.name}'s items: not there {lost}, there instead {extra}"]


async def _lost_files(person: Person, found: list[dict[str, Any]], http: httpx2.AsyncClient) -> list[str]:
    wrong = []
    ids = {file["filename"]: file["id"] for file in found}
    for name, digest in person.files.items():
        content = await http.get(f"/files/{ids.get(name, 0)}/content")
        if sha256(content.content).hexdigest() != digest:
            wrong.append(f"{name} of {person.name} is lost, or has other bytes: {content.status_code}")
    return wrong


async def _unfinished(task_id: str, http: httpx2.AsyncClient) -> list[str]:
    """Waits for the task to end."""
    async with asyncio.timeout(CERTAIN_SECONDS):
        while True:
            task = (await http.get(f"/tasks/{task_id}")).json()
            if task["status"] not in ("started", "running"):
                return [] if task["status"] == "completed" else [f"a task ended like this: {task}"]
            await asyncio.sleep(PAUSE)


async def _all(path: str, http: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """The whole list."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await http.get(path, params={"limit": 100} | ({"cursor": cursor} if cursor else {}))).json()
        found += page["items"]
        cursor = page["next_cursor"]
    return found
