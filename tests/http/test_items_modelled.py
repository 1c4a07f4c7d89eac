"""Random users create, edit, list and delete over HTTP: SQLite, PostgreSQL, the fakes and a simple model agree."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from domain.items import ItemSort
from domain.search import folded
from tests.http.three_apps import Apps, User, apps_on

TITLES: Final = st.sampled_from(
    ["a", "B", "b", "Stra\u00dfe", "\u0414\u043e\u043c", "50%", "a_b", "\U0001f95b", " x ", "", " "]
)
DESCRIPTIONS: Final = st.sampled_from([None, "", "two LITRES", "%", "\u00e9"])
WORDS: Final = st.sampled_from(["", "a", "STRASSE", "\u0434\u043e\u043c", "%", "_", "litres b", "\u00c9"])
SORTS: Final = st.sampled_from([sort.value for sort in ItemSort])


@dataclass
class Known:
    """What the model knows of an item."""

    owner: int
    title: str
    description: str | None
    version: int = 1
    changed: int = 0


class Walk(RuleBasedStateMachine):
    apps: Apps
    items: Bundle[int] = Bundle("items")

    def __init__(self) -> None:
        super().__init__()
        self.users: list[User] = []
        self.known: dict[int, Known] = {}
        self.clock = 0

    @initialize()
    def some_users(self) -> None:
        self.users = [self.apps.new_user() for _ in range(2)]

    @rule(target=items, who=st.integers(0, 1), title=TITLES, description=DESCRIPTIONS)
    def create(self, who: int, title: str, description: str | None) -> Any:
        body = {"title": title, "description": description}
        answer = self.apps.same("POST", "/items/", self.users[who], json=body)
        if not title.strip():
            assert answer.status_code == 422
            return multiple()
        assert answer.status_code == 201
        self.clock += 1
        self.known[answer.json()["id"]] = Known(who, title, description, changed=self.clock)
        self.is_as_known(answer.json())
        return answer.json()["id"]

    @rule(who=st.integers(0, 1), item=items)
    def read(self, who: int, item: int) -> None:
        answer = self.apps.same("GET", f"/items/{item}", self.users[who])
        if self.is_there(who, item):
            self.is_as_known(answer.json())
        else:
            assert answer.status_code == 404

    @rule(
        who=st.integers(0, 1),
        item=items,
        method=st.sampled_from(["PUT", "PATCH"]),
        title=TITLES,
        description=st.one_of(st.just(...), DESCRIPTIONS),
        if_match=st.sampled_from([None, "*", '"1"', 'W/"1"', '"2", "3"']),
    )
    def edit(self, who: int, item: int, method: str, title: str, description: Any, if_match: str | None) -> None:
        body = {"title": title} | ({} if description is ... else {"description": description})
        headers = {} if if_match is None else {"If-Match": if_match}
        answer = self.apps.same(method, f"/items/{item}", self.users[who], json=body, headers=headers)
        if not title.strip():
            assert answer.status_code == 422
        elif not self.is_there(who, item):
            assert answer.status_code == 404
        elif not self.holds(item, if_match):
            assert answer.status_code == 412
        else:
            self.clock += 1
            known = self.known[item]
            known.title, known.version, known.changed = title, known.version + 1, self.clock
            if description is not ... or method == "PUT":
                known.description = None if description is ... else description
            self.is_as_known(answer.json())

    @rule(who=st.integers(0, 1), item=items, if_match=st.sampled_from([None, '"1"']))
    def delete(self, who: int, item: int, if_match: str | None) -> None:
        headers = {} if if_match is None else {"If-Match": if_match}
        answer = self.apps.same("DELETE", f"/items/{item}", self.users[who], headers=headers)
        if not self.is_there(who, item):
            assert answer.status_code == 404
        elif not self.holds(item, if_match):
            assert answer.status_code == 412
        else:
            assert answer.status_code == 204
            del self.known[item]

    @rule(who=st.integers(0, 1), q=WORDS, sort=SORTS, skip=st.integers(0, 3), limit=st.integers(1, 5))
    def list_them(self, who: int, q: str, sort: str, skip: int, limit: int) -> None:
        query = {"q": q, "sort": sort, "skip": skip, "limit": limit}
        answer = self.apps.same("GET", "/items/", self.users[who], params=query).json()
        found = self.found(who, q, sort)
        assert answer["total"] == len(found)
        assert [item["id"] for item in answer["items"]] == found[skip : skip + limit]
        for item in answer["items"]:
            self.is_as_known(item)

    @rule(who=st.integers(0, 1), q=WORDS, sort=SORTS, limit=st.integers(1, 3))
    def walk_by_cursor(self, who: int, q: str, sort: str, limit: int) -> None:
        query, seen = {"q": q, "sort": sort, "limit": limit}, []
        while True:
            answer = self.apps.same("GET", "/items/", self.users[who], params=query).json()
            seen += [item["id"] for item in answer["items"]]
            if answer["next_cursor"] is None:
                break
            query["cursor"] = answer["next_cursor"]
        assert seen == self.found(who, q, sort)

    def is_there(self, who: int, item: int) -> bool:
        return item in self.known and self.known[item].owner == who

    def holds(self, item: int, if_match: str | None) -> bool:
        strong = set((if_match or "").split(", "))
        return if_match in (None, "*") or f'"{self.known[item].version}"' in strong

    def found(self, who: int, q: str, sort: str) -> list[int]:
        keys = {
            "title": lambda item: (self.known[item].title, item),
            "created_at": lambda item: item,
            "updated_at": lambda item: self.known[item].changed,
        }
        matching = [
            item
            for item, known in self.known.items()
            if known.owner == who and all(word in folded(known.title, known.description) for word in folded(q).split())
        ]
        return sorted(matching, key=keys[sort.removeprefix("-")], reverse=sort.startswith("-"))

    def is_as_known(self, answer: dict[str, Any]) -> None:
        known = self.known[answer["id"]]
        given = (answer["title"], answer["description"], answer["version"])
        assert given == (known.title, known.description, known.version)


@pytest.fixture
def apps(tmp_path: Path, sqlite_template: Path, migrated_postgres_url: str) -> Iterator[Apps]:
    with apps_on(tmp_path, sqlite_template, migrated_postgres_url) as apps:
        yield apps


def test_all_three_and_the_model_agree(apps: Apps) -> None:
    machine = type("WalkOnApps", (Walk,), {"apps": apps})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            phases=[Phase.generate],  # whole walks over HTTP take too long to shrink
        ),
    )
