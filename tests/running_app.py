"""An app as its users meet it: the whole of it, spoken to over HTTP, with its worker and its mail."""

import asyncio
import email
import email.policy
import functools
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from io import StringIO
from pathlib import Path
from typing import Any, Final

import httpx2
from fastapi import FastAPI
from fastapi.dependencies import models

from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from tests.mail_server import MailServer

DEADLINE: Final = 180.0
"""Seconds within which what has to happen in the background must have happened, however busy the machine is."""
PASSWORD: Final = "Correct-Horse-42"


async def eventually(condition: Callable[[], Any], deadline: float = DEADLINE) -> Any:
    """The first true value of the condition, looked at again and again. Fails at the deadline."""
    async with asyncio.timeout(deadline):
        while not (value := condition()):  # noqa: ASYNC110 - what is waited for may be a file or another process
            await asyncio.sleep(0.01)
        return value


@dataclass(frozen=True)
class Mailbox:
    """The mails that an app has sent, oldest first: into a folder, to a mail server, or onto a console."""

    source: Path | MailServer | StringIO

    def mails(self, to: str | None = None) -> list[EmailMessage]:
        """Those that are there; of a mail on a console there is the plain text only."""
        match self.source:
            case Path() as folder:
                mails = [_parsed(path.read_bytes()) for path in sorted(folder.glob("*.eml"))]
            case MailServer() as server:
                mails = [_parsed(received.content.replace(b"\r\n", b"\n")) for received in server.messages]
            case StringIO() as console:
                mails = _printed(console.getvalue())
        return [mail for mail in mails if to is None or to in str(mail["To"])]

    async def received(self, to: str, count: int = 1) -> list[EmailMessage]:
        """The mails to this address, once there are so many."""

        def enough() -> list[EmailMessage] | None:
            mails = self.mails(to)
            return mails if len(mails) >= count else None

        mails: list[EmailMessage] = await eventually(enough)
        return mails

    async def token(self, to: str, count: int = 1, page: str = "") -> str:
        """The token in the last link to this page mailed to this address, once there are so many."""

        def enough() -> list[EmailMessage] | None:
            mails = [mail for mail in self.mails(to) if f"{page}?token=" in str(mail.get_body(("plain",)))]
            return mails if len(mails) >= count else None

        mails: list[EmailMessage] = await eventually(enough)
        return token_in(mails[-1])


def _parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def _printed(text: str) -> list[EmailMessage]:
    """The mails in the frames that are closed."""
    mails = []
    for frame in re.findall(r"^┌─+\n(.*?)^└─+\n", text, re.MULTILINE | re.DOTALL):
        head, _, body = "".join(f"{line[2:]}\n" for line in frame.splitlines()).partition("\n\n")
        mail = EmailMessage()
        for name, value in (line.split(": ", 1) for line in head.splitlines()):
            mail[name] = value
        mail.set_content(body)
        mails.append(mail)
    return mails


def token_in(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    found = re.search(r"token=([A-Za-z0-9_-]+)", part.get_content())
    assert found is not None
    return found[1]


@dataclass
class RunningApp:
    """`http` speaks to the app under its API path; `at_root` at its root."""

    app: FastAPI
    settings: Settings
    http: httpx2.AsyncClient
    at_root: httpx2.AsyncClient
    mailbox: Mailbox
    data: Path
    _addresses: int = field(default=0)

    @property
    def container(self) -> Any:
        return self.app.state.container

    async def register(self, address: str | None = None, password: str = PASSWORD, **more: Any) -> dict[str, Any]:
        """Open an account; the answer."""
        if address is None:
            self._addresses += 1
            address = f"user{self._addresses}@example.org"
        response = await self.http.post("/users/", json={"email": address, "password": password, **more})
        assert response.status_code == 201, response.text
        user: dict[str, Any] = response.json()
        return user

    async def sign_in(self, address: str, password: str = PASSWORD) -> dict[str, Any]:
        """The token pair."""
        response = await self.http.post("/auth/login", json={"email": address, "password": password})
        assert response.status_code == 200, response.text
        pair: dict[str, Any] = response.json()
        return pair

    async def user(self, address: str | None = None, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """A new account, and the header that signs it in."""
        user = await self.register(address, **more)
        return user, bearer(await self.sign_in(user["email"]))

    async def superuser(self, address: str = "root@example.org") -> tuple[dict[str, Any], dict[str, str]]:
        """A superuser's account, and the header that signs it in."""
        from domain.passwords import Password
        from domain.users import Email

        await self.container.create_superuser()(email=Email(address), password=Password(PASSWORD))
        headers = bearer(await self.sign_in(address))
        return (await self.http.get("/users/me", headers=headers)).json(), headers


def bearer(pair: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair['access_token']}"}


def settings_for(data: Path, **overrides: Any) -> Settings:
    """Settings that read no environment file, quick to hash under, with mail as files."""
    values: dict[str, Any] = {
        "environment": "test",
        "data_dir": data,
        "bcrypt_rounds": 4,
        "mail_backend": "file",
        "rate_limits_enabled": False,
        **overrides,
    }
    return Settings(_env_file=None, **values)


def _forget_apps() -> None:
    """FastAPI remembers what it found out about an endpoint, and with the endpoint the whole app that it belongs to:
    thousands of apps would fill the memory, and looking for garbage in it would take longer than the tests."""
    for remembered in vars(models).values():
        if isinstance(remembered, functools._lru_cache_wrapper):
            remembered.cache_clear()


@asynccontextmanager
async def run_app(
    settings: Settings,
    *,
    with_worker: bool = True,
    client: str = "203.0.113.7",
    prepare: Callable[[Any], None] | None = None,
    mailbox: Mailbox | None = None,
) -> AsyncIterator[RunningApp]:
    """The app, alive; its database must be up to date. `prepare` is given its container first.

    Without a `mailbox`, its mail is looked for in its data directory.
    """
    _forget_apps()
    app = create_app(settings, with_worker=with_worker)
    if prepare is not None:
        prepare(app.state.container)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=True, client=(client, 40000))
    root = "http://portico.test"
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url=root + settings.api_v1_str) as http,
        httpx2.AsyncClient(transport=transport, base_url=root) as at_root,
    ):
        data = settings.data_dir
        yield RunningApp(app, settings, http, at_root, mailbox or Mailbox(data / "mail"), data)


def copy_database(template: Path, data: Path) -> None:
    """Put a copy of a migrated SQLite database where an app with that `DATA_DIR` looks for it."""
    data.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, data / "portico.db")
