"""What was promised to people, compared with what is there once all is quiet."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from hashlib import sha256
from time import time
from typing import Any, Final

import httpx2

from tests.faults.doings import IMPORTED, ROWS, titles_of_import
from tests.faults.people import CERTAIN_SECONDS, PAUSE, Cause, Person
from tests.mail_server import Received
from tests.running_app import PASSWORD, bearer

HOUR: Final = 3600.0
AT_ONCE: Final = 6
"""Connections, at most."""


async def found_wrong(people: Sequence[Person], address: str) -> list[str]:
    """What is not as it was promised, now that all is quiet. Empty if all is well."""
    if wrong := [one for person in people for one in person.wrong]:
        return wrong
    async with _client(address) as http:
        compared = await asyncio.gather(*(_compared(person, http) for person in people))
    return [f"{person.name}: {one}" for person, wrong in zip(people, compared, strict=True) for one in wrong]


def _client(address: str, **options: Any) -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=AT_ONCE)
    timeout = httpx2.Timeout(60, pool=None)
    return httpx2.AsyncClient(
        base_url=f"{address}/api/v1", limits=limits, timeout=timeout, verify=False, trust_env=False, **options
    )


async def _compared(person: Person, http: httpx2.AsyncClient) -> list[str]:
    wrong = await _accounts(person, http)
    answer = await http.post("/auth/login", json=person.credentials(person.passwords[-1]))
    if answer.status_code != 200:
        return [*wrong, f"can't sign in: {answer.text}"]
    async with _client(person.address, headers=bearer(answer.json())) as own:
        wrong += await _tasks(person, own)
        items = await _all("/items/", own)
        files = await _all("/files/", own)
        imported = Counter(item["title"] for item in items if IMPORTED in item["title"])
        expected = Counter(title for number in person.imports for title in titles_of_import(person, number))
        if imported != expected:
            wrong.append(f"imports: lost {expected - imported}, twice {imported - expected}")
        wrong += _items(person, [item for item in items if IMPORTED not in item["title"]])
        wrong += await _files(person, files, own)
        wrong += await missed(person, {"items": items, "files": files, "tasks": await _all("/tasks/", own)})
    return wrong


async def _accounts(person: Person, http: httpx2.AsyncClient) -> list[str]:
    """One's own, the friends', and the sessions that have ended."""
    wrong = []
    for email, good in [*((email, 200) for email in person.friends[1:]), *((email, 401) for email in person.gone)]:
        answer = await http.post("/auth/login", json={"email": email, "password": PASSWORD})
        if answer.status_code != good:
            wrong.append(f"{email} signs in with {answer.status_code}, but should with {good}")
    for token in [person.token, *person.revoked]:
        good = 200 if token == person.token else 401
        answer = await http.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        if answer.status_code != good:
            wrong.append(f"a session answers {answer.status_code}, but should {good}")
    return wrong


def _items(person: Person, found: list[dict[str, Any]]) -> list[str]:
    expected = sorted(person.items.values(), key=lambda item: item["id"])
    found.sort(key=lambda item: item["id"])
    if found == expected:
        return []
    lost = [item for item in expected if item not in found]
    extra = [item for item in found if item not in expected]
    return [f"items: not there {lost}, there instead {extra}"]


async def _files(person: Person, found: list[dict[str, Any]], http: httpx2.AsyncClient) -> list[str]:
    """Each with its bytes; and no more of one name than there were tries."""
    wrong = [f"{file} is lost" for file_id, file in person.files.items() if file_id not in {one["id"] for one in found}]
    digests = {file.name: file.sha256 for file in person.files.values()}
    for file in found:
        content = (await http.get(f"/files/{file['id']}/content")).content
        if sha256(content).hexdigest() not in {file["sha256"]} & {digests.get(file["filename"], file["sha256"])}:
            wrong.append(f"{file} has other bytes")
    names = Counter(file["filename"] for file in found)
    expected = Counter(file.name for file in person.files.values())
    if too_many := names - expected - person.doubts:
        wrong.append(f"files that nobody stored, or so often: {too_many}")
    return wrong


async def _tasks(person: Person, http: httpx2.AsyncClient) -> list[str]:
    """Each ends, with all its rows; and there is no other."""
    wrong = []
    for task_id in person.imports.values():
        task = await _ended(task_id, http)
        if task.get("status") != "completed" or task["result"]["created"] != ROWS:
            wrong.append(f"a task is like this: {task}")
    found = Counter(task["task_id"] for task in await _all("/tasks/", http))
    if found != Counter(person.imports.values()):
        wrong.append(f"tasks: there are {found}, but should be {person.imports}")
    return wrong


async def _ended(task_id: str, http: httpx2.AsyncClient) -> dict[str, Any]:
    """The task, once it has ended or the time is over."""
    task: dict[str, Any] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(CERTAIN_SECONDS):
            while task.get("finished_at") is None:
                task = (await http.get(f"/tasks/{task_id}")).json()
                await asyncio.sleep(PAUSE)
    return task


async def missed(person: Person, there: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What the follower was told wrong, or not within the time that everything has: it is stopped then."""
    copies = person.follower.copies
    expected = {channel: {copies[channel].key_of(thing): thing for thing in there[channel]} for channel in there}
    with suppress(TimeoutError):
        async with asyncio.timeout(CERTAIN_SECONDS):
            while {channel: copies[channel].things for channel in copies} != expected:  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(PAUSE)
    person.following.cancel()
    await asyncio.gather(person.following, return_exceptions=True)
    wrong = person.follower.wrong
    for channel, things in expected.items():
        told = copies[channel].things
        if told != things:
            untold = [thing for key, thing in things.items() if told.get(key) != thing]
            wrong.append(f"was never told of {untold}, nor of the end of {[key for key in told if key not in things]}")
    return wrong


async def _all(path: str, http: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """The whole list."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await http.get(path, params={"limit": 100} | ({"cursor": cursor} if cursor else {}))).json()
        found += page["items"]
        cursor = page["next_cursor"]
    return found


async def mails_found_wrong(
    people: Sequence[Person], mails: Sequence[Received], address: str, *, apart_from: str, interruptions: int
) -> list[str]:
    """What is wrong with the mails: each is there, as one mail, to whom it is meant for, and its link works.

    A mail whose sending was interrupted may have to be sent again, as the same mail: once for each interruption.
    """
    due = {cause for person in people for cause in person.mails}
    needless = {cause for person in people for cause in person.needless}
    with suppress(TimeoutError):
        async with asyncio.timeout(CERTAIN_SECONDS):
            while not due <= {_cause(one) for one in mails}:  # noqa: ASYNC110 - a worker is waited for
                await asyncio.sleep(PAUSE)
    found = defaultdict(list)
    for one in mails:
        if one.recipient != apart_from:
            found[_cause(one)].append(one)
    wrong = [f"no mail came of {cause}" for cause in due if cause not in found]
    wrong += [f"a mail came of {cause}" for cause in found if cause not in due | needless]
    for cause, copies in found.items():
        if len({str(one.message["Message-ID"]) for one in copies}) > 1:
            wrong.append(f"several mails came of {cause}")
        wrong += [f"{one.message['To']} is told in a mail to {cause}" for one in copies if _to(one) != cause.recipient]
    again = sum(len(copies) - 1 for copies in found.values())
    print(f"{len(found)} mails, {again} of them sent again")
    if again > interruptions:
        wrong.append(f"{again} mails were sent again, though only {interruptions} things happened")
    passwords = {person.email: person.passwords[-1] for person in people}
    return wrong + await _dead_links([found[cause][-1] for cause in due if cause in found], passwords, address)


def _cause(mail: Received) -> Cause:
    return Cause(mail.recipient, str(mail.message["X-Request-ID"]))


def _to(mail: Received) -> str:
    return str(mail.message["To"].addresses[0].addr_spec)


async def _dead_links(mails: Sequence[Received], passwords: dict[str, str], address: str) -> list[str]:
    """What does not confirm the address, but for those that a host with another clock made: they last a day."""
    async with _client(address) as http:

        async def is_dead(mail: Received) -> bool:
            is_off = abs(parsedate_to_datetime(str(mail.message["Date"])).timestamp() - time()) > HOUR
            if "verify-email" not in mail.text or is_off:
                return False
            await http.post("/auth/verify-email", json={"token": mail.token})
            credentials = {"email": mail.recipient, "password": passwords.get(mail.recipient, PASSWORD)}
            pair = (await http.post("/auth/login", json=credentials)).json()
            token = bearer(pair) if "access_token" in pair else {}
            return not (await http.get("/users/me", headers=token)).json().get("is_verified")

        dead = await asyncio.gather(*map(is_dead, mails))
    return [
        f"the link in the mail to {mail.recipient} does not confirm that address"
        for mail, is_one in zip(mails, dead, strict=True)
        if is_one
    ]
