"""What compares the promises with what is there: it finds whatever is lost, twice, or with somebody else."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from tests.faults import checking
from tests.faults.checking import found_wrong, mails_found_wrong
from tests.faults.doings import DOINGS
from tests.faults.people import Person
from tests.faults.processes import mail_through, serving
from tests.mail_server import Received, smtp_server
from tests.running_app import PASSWORD, copy_database

ITEM: Final = "(SELECT max(id) FROM items WHERE owner_id = 1 AND title NOT LIKE '%imported%')"
ROW: Final = "(SELECT max(id) FROM items WHERE owner_id = 1 AND title LIKE '%imported%')"
COLUMNS: Final = "title, description, owner_id, version, created_at, updated_at, search"
AGAIN: Final = f"INSERT INTO items ({COLUMNS}) SELECT {COLUMNS} FROM items WHERE id ="
DEFECTS: Final = {
    "an item is lost": f"DELETE FROM items WHERE id = {ITEM}",
    "an item is there twice": f"{AGAIN} {ITEM}",
    "an item is somebody else's": f"UPDATE items SET owner_id = 2 WHERE id = {ITEM}",
    "a change is lost": f"UPDATE items SET description = 'as before' WHERE id = {ITEM}",
    "a row of an import is lost": f"DELETE FROM items WHERE id = {ROW}",
    "a row of an import is there twice": f"{AGAIN} {ROW}",
    "a file is lost": "DELETE FROM files WHERE id = (SELECT max(id) FROM files WHERE owner_id = 1)",
    "a file is somebody else's": "UPDATE files SET owner_id = 2 WHERE owner_id = 1",
    "a file is there twice": "INSERT INTO files (filename, content_type, size, sha256, owner_id, created_at) "
    "SELECT filename, content_type, size, sha256, owner_id, created_at FROM files "
    "WHERE owner_id = 1",
    "a task is lost": "DELETE FROM tasks WHERE number = (SELECT max(number) FROM tasks WHERE owner_id = 1)",
    "a task is somebody else's": "UPDATE tasks SET owner_id = 3 - owner_id",
    "an account is lost": "DELETE FROM users WHERE id = (SELECT max(id) FROM users)",
    "a password is as it was before": "UPDATE users SET password_hash = (SELECT password_hash FROM users "
    "WHERE email LIKE 'friend%') WHERE id <= 2",
    "a session is lost": "DELETE FROM sessions WHERE user_id = 1",
}
"""What is done to the database while nobody is looking."""


@dataclass
class World:
    """Two people who have done everything, the database of it all, and the mails."""

    people: Sequence[Person]
    address: str
    database: Path
    mails: list[Received]

    async def found_wrong(self) -> list[str]:
        return await found_wrong(self.people, self.address) or await mails_found_wrong(
            self.people, self.mails, self.address, apart_from="", interruptions=0
        )

    def wrong_mails(self) -> Iterator[list[Received]]:
        """One lost, one twice, the same one again, one to somebody else, and one that somebody else is told."""
        mail, another = (next(one for one in self.mails if one.recipient == person.email) for person in self.people)
        others = [one for one in self.mails if one is not mail]
        other_id = mail.content.replace(b"Message-ID: <", b"Message-ID: <other-")
        for instead in (
            [],
            [mail, replace(mail, content=other_id)],
            [mail, mail],
            [replace(mail, recipient=another.recipient)],
            [replace(mail, content=another.content)],
        ):
            yield [*others, *instead]

    @contextmanager
    def changed(self, statement: str) -> Iterator[None]:
        """So for a while, and then as it was."""
        with closing(sqlite3.connect(self.database)) as connection, closing(sqlite3.connect(":memory:")) as kept:
            connection.backup(kept)
            connection.execute("PRAGMA foreign_keys = ON")
            assert connection.execute(statement).rowcount
            connection.commit()
            yield
            kept.backup(connection)


def has_done_everything(person: Person) -> bool:
    did = len(person.items) > 1 and person.imports and person.revoked and person.gone
    return bool(did and len(person.friends) > 1 and person.passwords != [PASSWORD])


@asynccontextmanager
async def world(data: Path, template: Path) -> AsyncIterator[World]:
    copy_database(template, data)
    async with smtp_server(tls="none") as mail, serving(data, **mail_through(mail)) as process:
        people = [Person(f"person{n}", process.root, random.Random(n)) for n in range(2)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as living:
            for person, other in zip(people, reversed(people), strict=True):
                person.others = [other]
                living.create_task(person.live(stop, DOINGS))
            while not all(has_done_everything(person) or person.wrong for person in people):  # noqa: ASYNC110 - of others
                await asyncio.sleep(0.1)
            stop.set()
        yield World(people, process.root, data / "portico.db", mail.messages)


@pytest.mark.timeout(600)
async def test_all_is_well_until_something_is_not(
    data: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(data, sqlite_template) as made:
        assert await made.found_wrong() == []
        monkeypatch.setattr(checking, "CERTAIN_SECONDS", 1.0)
        for defect, statement in DEFECTS.items():
            with made.changed(statement):
                assert await made.found_wrong(), defect
        for mails in made.wrong_mails():
            assert await replace(made, mails=mails).found_wrong()
        for copy in made.people[1].follower.copies.values():
            told = copy.things.popitem()
            assert await made.found_wrong(), f"{told} was not told of"
            copy.things.update([told])
        assert await made.found_wrong() == []
