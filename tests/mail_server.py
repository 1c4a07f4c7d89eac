"""A real SMTP server for the tests: STARTTLS, TLS, AUTH, and every kind of trouble on demand."""

# ruff: noqa: N802 - aiosmtpd finds its hooks by these names

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cached_property
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qs, urlsplit

from aiosmtpd.smtp import MISSING, SMTP, AuthResult

from tests.certificate import certificate, server_context

PATIENCE: Final = 60.0
"""Seconds within which what is waited for must come, a retry after some 10 s included."""
Stage = Literal["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]
"""Where the server can be made to misbehave. DATA is when the whole content has arrived."""
Trouble = Literal["hold", "drop"] | str
"""`hold`: say nothing until `release`. `drop`: cut the connection. Anything else is the reply to give."""


@dataclass(frozen=True)
class Received:
    """A mail as the server got it."""

    sender: str
    recipient: str
    content: bytes
    utf8: bool
    """Whether the client asked for SMTPUTF8."""
    encrypted: bool
    user: str | None
    """Who signed in."""

    @cached_property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=default)

    @cached_property
    def text(self) -> str:
        return self._part("plain")

    @cached_property
    def html(self) -> str:
        return self._part("html")

    @property
    def link(self) -> str:
        """The link with the token."""
        found = re.search(r"^https?://\S+\?token=\S+$", self.text, re.MULTILINE)
        assert found, "there is no link in this mail"
        return found.group()

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.link).query)["token"][0]

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        assert isinstance(part, EmailMessage)
        return str(part.get_content()).replace("\r\n", "\n")


@dataclass
class MailServer:
    """What `smtp_server` gives: where it listens, what it got, and how to make it misbehave."""

    tls: Literal["starttls", "tls", "none"]
    credentials: tuple[str, str] | None
    utf8: bool
    host: str = "127.0.0.1"
    new_socket: Callable[[], socket.socket] = socket.socket
    """What it listens with: a socket of another host, perhaps."""
    port: int = 0
    messages: list[Received] = field(default_factory=list)
    """Accepted, in that order."""
    unconfirmed: list[Received] = field(default_factory=list)
    """Arrived whole, but refused, or the connection was dropped before the client was told."""
    connections: int = 0
    """How many there have been."""

    def __post_init__(self) -> None:
        self._troubles: dict[Stage, tuple[Trouble, int | None]] = {}
        self._released = asyncio.Event()
        self._news = asyncio.Event()
        self._open: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._reservation = self._bound(0)
        self.port = self._reservation.getsockname()[1]

    @property
    def certificate(self) -> bytes:
        """The server's self-signed certificate, PEM. A process trusts it when `SSL_CERT_FILE` names a copy of it."""
        return certificate()[0]

    @property
    def trusting(self) -> ssl.SSLContext:
        """What a client in this process needs to trust the server."""
        return ssl.create_default_context(cadata=self.certificate.decode())

    def misbehave(self, stage: Stage, trouble: Trouble, *, times: int | None = None) -> None:
        """Do this at that stage: so many times, or else until `behave`."""
        self._troubles[stage] = (trouble, times)

    def behave(self) -> None:
        self._troubles.clear()
        self.release()

    def release(self) -> None:
        """Let those go on that are held now."""
        self._released.set()
        self._released = asyncio.Event()

    async def received(self, count: int, timeout: float = PATIENCE) -> list[Received]:
        """The mails, once there are at least so many. Raises `AssertionError` when there aren't in time."""
        await self._until(lambda: len(self.messages) >= count, f"{count} mails", timeout)
        return self.messages

    async def connected(self, count: int, timeout: float = PATIENCE) -> None:
        """Return once there have been so many connections. Raises `AssertionError` when there aren't in time."""
        await self._until(lambda: self.connections >= count, f"{count} connections", timeout)

    async def go_away(self) -> None:
        """Refuse connections and cut those that are open. The port stays ours."""
        assert self._listener is not None, "the server is away already"
        self._listener.close()
        self._listener = None
        for connection in list(self._open):
            connection.cut()
        await self._until(lambda: not self._open, "the end of all connections", PATIENCE)
        await asyncio.sleep(0)  # the sockets are closed in the loop's next round

    async def come_back(self) -> None:
        """Listen, on the same port as ever."""
        assert self._listener is None, "the server is there already"
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Connection(self, loop),
            sock=self._bound(self.port),
            ssl=server_context() if self.tls == "tls" else None,
        )

    async def close(self) -> None:
        self.behave()
        try:
            if self._listener is not None:
                await self.go_away()
        finally:
            self._reservation.close()

    async def enact(self, stage: Stage, connection: "_Connection") -> str | None:
        """Misbehave if that was asked for. Returns the reply to give instead of the usual one."""
        trouble, times = self._troubles.pop(stage, (None, None))
        if trouble is not None and times != 1:
            self._troubles[stage] = (trouble, None if times is None else times - 1)
        if trouble == "hold":
            await self._released.wait()
            return None
        if trouble == "drop":
            connection.cut()
            await asyncio.Event().wait()
        return trouble

    def opened(self, connection: "_Connection") -> None:
        self.connections += 1
        self._open.add(connection)
        self.note()

    def closed(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        self.note()

    def _bound(self, port: int) -> socket.socket:
        """Bound, but not listening: so a second one keeps the port ours while the server is away."""
        bound = self.new_socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((self.host, port))
        return bound

    def note(self) -> None:
        """Tell everyone who waits that something happened."""
        self._news.set()
        self._news = asyncio.Event()

    async def _until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await self._news.wait()
        except TimeoutError:
            there = f"{len(self.messages)} mails after {self.connections} connections"
            raise AssertionError(f"waited {timeout:g} s for {what}; there are {there}") from None


@asynccontextmanager
async def smtp_server(
    *,
    tls: Literal["starttls", "tls", "none"] = "starttls",
    credentials: tuple[str, str] | None = None,
    utf8: bool = True,
    host: str = "127.0.0.1",
    new_socket: Callable[[], socket.socket] = socket.socket,
) -> AsyncIterator[MailServer]:
    """A server on a free port of `host`. With `credentials` (user name and password) it demands them."""
    server = MailServer(tls, credentials, utf8, host, new_socket)
    await server.come_back()
    try:
        yield server
    finally:
        await server.close()


class _Connection(SMTP):
    def __init__(self, owner: MailServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            _Handler(owner, self),
            hostname="mail.test",
            enable_SMTPUTF8=owner.utf8,
            tls_context=server_context() if owner.tls == "starttls" else None,
            require_starttls=owner.tls == "starttls",
            auth_require_tls=owner.tls == "starttls",
            authenticator=self._sign_in,
            loop=loop,
        )
        self.owner = owner

    def cut(self) -> None:
        cast(asyncio.Transport, self._original_transport or self.transport).abort()
        assert self._handler_coroutine is not None
        self._handler_coroutine.cancel()

    async def _handle_client(self) -> None:
        self.owner.opened(self)
        try:
            reply = await self.owner.enact("greeting", self)
            if reply is None:
                await super()._handle_client()
            else:
                await self.push(reply)
        finally:
            self._writer.close()
            self.owner.closed(self)

    def _sign_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.owner.credentials, handled=False, auth_data=data)


class _Handler:
    """aiosmtpd's hooks: each returns the reply."""

    def __init__(self, owner: MailServer, connection: _Connection) -> None:
        self.owner = owner
        self.connection = connection

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, replies: list[str]) -> list[str]:
        refusal = await self.owner.enact("EHLO", self.connection)
        session.host_name = name
        return [refusal] if refusal else [line for line in replies if self.owner.credentials or "AUTH" not in line]

    async def handle_AUTH(self, server: Any, session: Any, envelope: Any, args: list[str]) -> Any:
        return await self.owner.enact("AUTH", self.connection) or MISSING

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if self.owner.credentials and not session.authenticated:
            return "530 5.7.0 Authentication required"
        refusal = await self.owner.enact("MAIL", self.connection)
        if refusal is None:
            envelope.mail_from = address
        return refusal or "250 2.1.0 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        refusal = await self.owner.enact("RCPT", self.connection)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 2.1.5 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        received = Received(
            sender=envelope.mail_from,
            recipient=", ".join(envelope.rcpt_tos),
            content=envelope.original_content,
            utf8=envelope.smtp_utf8,
            encrypted=session.ssl is not None or self.owner.tls == "tls",
            user=session.auth_data.login.decode() if session.authenticated else None,
        )
        self.owner.unconfirmed.append(received)
        refusal = await self.owner.enact("DATA", self.connection)
        if refusal is None:
            self.owner.unconfirmed.remove(received)
            self.owner.messages.append(received)
            self.owner.note()
        return refusal or "250 2.0.0 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        return await self.owner.enact("QUIT", self.connection) or "221 2.0.0 Bye"
