"""One app on SQLite, one on PostgreSQL and one on the fakes in memory, asked the same, and answering the same."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx2
from dependency_injector.providers import Object

from tests.fakes import InMemoryStore
from tests.running_app import RunningApp, bearer, copy_database, run_app, settings_for

User = list[dict[str, str]]
"""Somebody who is signed in to each of the apps: the header that says so."""

VARYING: Final = {"created_at", "updated_at", "next_cursor", "request_id"}
"""What may differ: each app has its own clock and its own secret."""


class NoDatabase:
    """Stands where the parts in memory need none."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


def put_parts_in_memory(container: Any) -> None:
    """Let the fakes stand for the database, with the container's own clock."""
    store = InMemoryStore(container.clock())
    container.begin.override(Object(store.begin))
    container.reads.override(Object(store))
    container.job_queue.override(Object(store.jobs))
    container.database.override(Object(NoDatabase()))


class Apps:
    """The apps, behind one face that is not asynchronous, since Hypothesis is not."""

    def __init__(self, runner: asyncio.Runner, apps: Mapping[str, RunningApp]) -> None:
        self._runner = runner
        self._apps = apps
        self._addresses = count(1)
        self._cursors: dict[str, list[str]] = {}

    def new_user(self) -> User:
        """Somebody new to all of them: in each, the header that signs them in."""
        address = f"walker{next(self._addresses)}@example.org"

        async def sign_in(app: RunningApp) -> dict[str, str]:
            await app.register(address)
            return bearer(await app.sign_in(address))

        return [self._runner.run(sign_in(app)) for app in self._apps.values()]

    def same(self, method: str, path: str, user: User, **options: Any) -> httpx2.Response:
        """The answer of all of them. Fails unless they agree."""
        headers = options.pop("headers", {})
        params = dict(options.pop("params", {}))
        cursor = params.get("cursor")
        answers = []
        for n, (app, signed_in) in enumerate(zip(self._apps.values(), user, strict=True)):
            own = params | ({"cursor": self._cursors[cursor][n]} if cursor else {})
            request = app.http.request(method, path, headers={**signed_in, **headers}, params=own, **options)
            answers.append(self._runner.run(request))
        facts = [(answer.status_code, answer.headers.get("ETag"), _steady(answer)) for answer in answers]
        assert facts == [facts[0]] * len(facts)
        self._remember_cursors(answers)
        return answers[0]

    def create(self, user: User, title: str, **more: Any) -> dict[str, Any]:
        response = self.same("POST", "/items/", user, json={"title": title, **more})
        assert response.status_code == 201, response.text
        item: dict[str, Any] = response.json()
        return item

    def _remember_cursors(self, answers: list[httpx2.Response]) -> None:
        """Each app goes on from its own cursor; the first one's stands for all of them."""
        if all(answer.content and "next_cursor" in answer.json() for answer in answers):
            cursors = [answer.json()["next_cursor"] for answer in answers]
            assert len({cursor is None for cursor in cursors}) == 1
            if cursors[0] is not None:
                self._cursors[cursors[0]] = cursors


def _steady(answer: httpx2.Response) -> Any:
    """The body without what varies."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(inner) for name, inner in value.items() if name not in VARYING}
        return [without(inner) for inner in value] if isinstance(value, list) else value

    return without(answer.json()) if answer.content else None


@contextmanager
def apps_on(folder: Path, sqlite_template: Path, postgres_url: str) -> Iterator[Apps]:
    """The three of them, running."""
    copy_database(sqlite_template, folder / "sqlite")
    where = {
        "sqlite": settings_for(folder / "sqlite"),
        "postgres": settings_for(folder / "postgres", database_url=postgres_url),
        "memory": settings_for(folder / "memory"),
    }
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            apps = {}
            for name, settings in where.items():
                prepare = put_parts_in_memory if name == "memory" else None
                running = run_app(settings, with_worker=False, prepare=prepare)
                apps[name] = runner.run(stack.enter_async_context(running))
            yield Apps(runner, apps)
        finally:
            runner.run(stack.aclose())
