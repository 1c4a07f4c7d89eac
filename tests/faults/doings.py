"""What the people of the long test do: each thing so that it is certain at the end whether it was done, and once."""

from hashlib import sha256
from random import Random
from typing import Any, Final

from tests.faults.people import Cause, Doing, Person, Stored, claims
from tests.running_app import PASSWORD

ROWS: Final = 20
IMPORTED: Final = "imported"
SHARED: Final = [Random(number).randbytes(20_000) for number in range(3)]
"""What everybody stores, again and again: the same bytes of many files."""


async def create(person: Person, number: int) -> None:
    person.creations[number] = item = await _created(person, number)
    person.items[item["id"]] = item


async def create_again(person: Person, _: int) -> None:
    """Somebody whose phone forgot that there was an answer."""
    if person.creations:
        number = person.random.choice(list(person.creations))
        item = await _created(person, number)
        if item != person.creations[number]:
            raise person.went_wrong(f"creation {number} made {person.creations[number]} at first, and then {item}")


async def _created(person: Person, number: int) -> dict[str, Any]:
    body = {"title": f"{person.name} {number}", "description": None}
    key = {"Idempotency-Key": f"{person.name}-{number}"}
    item: dict[str, Any] = (await person.certain("POST", "/items/", {201}, json=body, headers=key)).json()
    if (item["title"], item["owner_id"], item["version"]) != (body["title"], person.id, 1):
        raise person.went_wrong(f"was given {item} for {body}")
    return item


async def edit(person: Person, number: int) -> None:
    """With the version in `If-Match`, a try that comes late can't undo what followed."""
    if not person.items:
        return
    item = person.random.choice(list(person.items.values()))
    path, match = f"/items/{item['id']}", {"If-Match": f'"{item["version"]}"'}
    description = f"edit {number}"
    answer = await person.certain("PATCH", path, again={412}, json={"description": description}, headers=match)
    if answer.status_code == 412:
        answer = await person.certain("GET", path)
    edited = answer.json()
    expected = item | {"description": description, "version": item["version"] + 1, "updated_at": edited["updated_at"]}
    if edited != expected:
        raise person.went_wrong(f"{path} is {edited}, but should be {expected}")
    person.items[item["id"]] = edited


async def edit_what_has_changed(person: Person, number: int) -> None:
    """With a version that is no longer: nothing may come of it."""
    changed = [item for item in person.items.values() if item["version"] > 1]
    if changed:
        item = person.random.choice(changed)
        match = {"If-Match": f'"{item["version"] - 1}"'}
        body = {"description": f"lost update {number}"}
        await person.certain("PATCH", f"/items/{item['id']}", {412}, json=body, headers=match)


async def delete(person: Person, _: int) -> None:
    if person.items:
        item = person.random.choice(list(person.items.values()))
        match = {"If-Match": f'"{item["version"]}"'}
        await person.certain("DELETE", f"/items/{item['id']}", {204}, again={404}, headers=match)
        del person.items[item["id"]]


async def look(person: Person, _: int) -> None:
    """At oneself, one thing, and everything: it is one's own, and as it was left."""
    if (me := (await person.certain("GET", "/users/me")).json())["email"] != person.email:
        raise person.went_wrong(f"is said to be {me}")
    if person.items:
        item = person.random.choice(list(person.items.values()))
        if (found := (await person.certain("GET", f"/items/{item['id']}")).json()) != item:
            raise person.went_wrong(f"item {item['id']} is {found}, but should be {item}")
    for found in await person.list_of("/items/"):
        if found["owner_id"] != person.id or (
            IMPORTED not in found["title"] and person.items.get(found["id"]) != found
        ):
            raise person.went_wrong(f"found {found}, not {person.items.get(found['id'])}")
    for found in await person.list_of("/files/"):
        if found["owner_id"] != person.id or not found["filename"].startswith(person.name):
            raise person.went_wrong(f"found {found}")


async def pry(person: Person, number: int) -> None:
    """Somebody else's things are as good as none."""
    other = person.random.choice([one for one in person.others if one.id])
    item = [f"/items/{item_id}" for item_id in other.items]
    file = [f"/files/{file_id}{part}" for file_id in other.files for part in ("", "/content")]
    task = [f"/tasks/{task_id}" for task_id in other.imports.values()]
    for path in (person.random.choice(paths) for paths in (item, file, task) if paths):
        await person.certain("GET", path, {404})
    for path in item[-1:]:
        await person.certain("PATCH", path, {404}, json={"description": f"{number} by {person.name}"})
    for path in (item + file[::2])[-1:]:
        await person.certain("DELETE", path, {404})
    await person.certain("GET", f"/users/{other.id}", {403})


async def upload(person: Person, number: int) -> None:
    is_shared = person.random.random() < 0.5
    size = person.random.randrange(100_000)
    content = person.random.choice(SHARED) if is_shared else person.random.randbytes(size)
    await _uploaded(person, f"{person.name}-{number}.bin", content)


async def _uploaded(person: Person, name: str, content: bytes) -> int:
    """The id of the file."""
    answer, doubtful = await person.certain_but("POST", "/files/upload", {201}, files={"file": (name, content)})
    file = answer.json()
    digest = sha256(content).hexdigest()
    if (file["filename"], file["sha256"], file["size"], file["owner_id"]) != (name, digest, len(content), person.id):
        raise person.went_wrong(f"was given {file} for {name}")
    person.files[file["id"]] = Stored(name, digest)
    person.doubts[name] += doubtful
    return int(file["id"])


async def delete_file(person: Person, _: int) -> None:
    """None that is being imported."""
    if those := [file_id for file_id, file in person.files.items() if file.name.endswith(".bin")]:
        file_id = person.random.choice(those)
        await person.certain("DELETE", f"/files/{file_id}", {204}, again={404})
        del person.files[file_id]


async def download(person: Person, _: int) -> None:
    if person.files:
        file_id, file = person.random.choice(list(person.files.items()))
        content = (await person.certain("GET", f"/files/{file_id}/content")).content
        if sha256(content).hexdigest() != file.sha256:
            raise person.went_wrong(f"{file} has other bytes")


async def import_items(person: Person, number: int) -> None:
    rows = "".join(f"{title},from a file\n" for title in titles_of_import(person, number))
    file_id = await _uploaded(person, f"{person.name}-{number}.csv", f"title,description\n{rows}".encode())
    body = {"kind": "import_items", "params": {"file_id": file_id}}
    key = {"Idempotency-Key": f"{person.name}-import-{number}"}
    answer = await person.certain("POST", "/tasks/start", {202}, json=body, headers=key)
    person.imports[number] = answer.json()["task_id"]


def titles_of_import(person: Person, number: int) -> list[str]:
    return [f"{person.name} {IMPORTED} {number}: {row}" for row in range(ROWS)]


async def bring_a_friend(person: Person, number: int) -> None:
    await person.open_account(f"friend{number}-of-{person.email}", number)


async def see_a_friend_off(person: Person, _: int) -> None:
    """The account of a friend is deleted, with the password: it is gone when nobody can sign in any more."""
    if len(person.friends) < 2:
        return
    email = person.random.choice(person.friends[1:])
    credentials = {"email": email, "password": PASSWORD}
    doubtful = 0
    while True:
        answer = await person.certain("POST", "/auth/login", {200, 401}, json=credentials)
        if answer.status_code == 401:
            break
        token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        answer, tries = await person.certain_but(
            "DELETE", "/users/me", {204, 401}, json={"password": PASSWORD}, headers=token
        )
        doubtful += tries + (answer.status_code == 401)
        if answer.status_code == 204:
            await person.certain("POST", "/auth/login", {401}, json=credentials)
            doubtful += 1
    if not doubtful:
        raise person.went_wrong(f"{email} could not sign in")
    person.friends.remove(email)
    person.gone.append(email)
    late = {cause for cause in person.mails if cause.recipient == email}
    person.mails -= late
    person.needless |= late


async def refresh(person: Person, _: int) -> None:
    """A second try ends the session if it comes too late: after one that may still be under way, it is given up."""
    body = {"refresh_token": person.pair["refresh_token"]}
    answer, doubtful = await person.certain_but("POST", "/auth/refresh", {200}, again={401}, json=body)
    if doubtful:
        await person.sign_in()
    else:
        person.use(answer.json())


async def end_a_session(person: Person, _: int) -> None:
    other = str((await person.signed_in())["access_token"])
    await person.certain("DELETE", f"/auth/sessions/{claims(other)['sid']}", {204}, again={404})
    await _counts_no_longer(person, other)


async def change_the_password(person: Person, number: int) -> None:
    """It ends all other sessions. A second try is told that the password is wrong if the first was carried out."""
    other = str((await person.signed_in())["access_token"])
    (old,) = person.passwords
    person.passwords.append(f"{PASSWORD}-{number}")
    cause = Cause(person.email, f"password-{person.name}-{number}")
    body = {"current_password": old, "new_password": person.passwords[1]}
    await person.certain(
        "POST", "/auth/password/change", again={403}, json=body, headers={"X-Request-ID": cause.request_id}
    )
    person.passwords.remove(old)
    person.mails.add(cause)
    await _counts_no_longer(person, other)
    await person.certain("POST", "/auth/login", {401}, json=person.credentials(old))


async def _counts_no_longer(person: Person, token: str) -> None:
    """From the next request on, wherever that comes to."""
    person.revoked.append(token)
    await person.certain("GET", "/users/me", {401}, headers={"Authorization": f"Bearer {token}"})


DOINGS: Final[dict[Doing, int]] = {
    create: 8,
    create_again: 3,
    edit: 8,
    edit_what_has_changed: 2,
    delete: 2,
    look: 4,
    pry: 3,
    upload: 5,
    delete_file: 2,
    download: 2,
    import_items: 2,
    bring_a_friend: 3,
    see_a_friend_off: 1,
    refresh: 1,
    end_a_session: 1,
    change_the_password: 1,
}
"""And how often."""
