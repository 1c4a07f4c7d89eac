"""Processes that hear each other through PostgreSQL's LISTEN and NOTIFY, where there is no Redis.

What a notification carries must be shorter than 8000 bytes, so a message goes in pieces. They are sent in one
transaction, so that they arrive together.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from adapters.notifications import hear
from adapters.realtime.outgoing import Link, Numbered, Outgoing, Senders
from application.ports.realtime import Listener

CHANNEL: Final = "portico_realtime"
LONGEST_PIECE: Final = 7500
"""Bytes: with its head it stays below 8000."""
TIMEOUT: Final = 10.0
LONGEST_PAUSE: Final = 1.0
NOTIFY: Final = "SELECT pg_notify($1, piece) FROM unnest($2::text[]) AS piece"
LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

log = logging.getLogger(__name__)


class PostgresBroadcaster:
    """Implements `Broadcaster`, among the processes with the same database."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._senders = Senders()
        self._pieces: dict[str, list[str]] = {}
        self._connection: Any = None
        self._outgoing = Outgoing(self._send, lambda: LOST)

    def publish(self, message: str) -> None:
        self._outgoing.put(message)

    async def listen(self, listener: Listener) -> None:
        link = Link(listener)
        while True:
            try:
                await self._listen_once(listener, link)
            except LOST as error:
                link.is_lost(error)
                await asyncio.sleep(LONGEST_PAUSE)

    async def close(self) -> None:
        await self._outgoing.close()
        if self._connection is not None:
            self._connection.terminate()

    async def _listen_once(self, listener: Listener, link: Link) -> None:
        def begun() -> None:
            self._pieces.clear()
            link.stands()

        def told(piece: str) -> None:
            try:
                message = self._put_together(piece)
            except ValueError:
                log.warning("another process says what can't be understood")
                return
            if message is not None:
                listener.heard(message)

        await hear(self._url, CHANNEL, begun=begun, told=told)

    def _put_together(self, payload: str) -> str | None:
        """The message that this piece completes, unless it is known or our own. Raises `ValueError` for what is no
        piece."""
        sender, number, place, pieces, text = payload.split(" ", 4)
        if sender == self._name:
            return None
        if place == "0":
            self._pieces[sender] = []
        begun = self._pieces.get(sender)
        if begun is None or len(begun) != int(place):
            return None  # it was begun before we listened
        begun.append(text)
        if len(begun) < int(pieces):
            return None
        message = "".join(self._pieces.pop(sender))
        return message if self._senders.is_new(sender, int(number)) else None

    async def _send(self, batch: Sequence[Numbered]) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._url, timeout=TIMEOUT, command_timeout=TIMEOUT)
        await self._connection.execute(
            NOTIFY, CHANNEL, [piece for number, message in batch for piece in self._cut(number, message)]
        )

    def _cut(self, number: int, message: str) -> list[str]:
        length = LONGEST_PIECE if message.isascii() else LONGEST_PIECE // 4
        texts = [message[begin : begin + length] for begin in range(0, len(message), length)] or [""]
        return [f"{self._name} {number} {place} {len(texts)} {text}" for place, text in enumerate(texts)]
