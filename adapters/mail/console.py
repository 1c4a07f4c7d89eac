"""Mail onto the console: for development, where nothing shall leave the machine."""

import asyncio
import sys
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Final, TextIO

from adapters.mail.message import MessageWriter
from application.ports.mail import Mail, MailUndelivered

WIDTH: Final = 78
SHOWN: Final = ("From", "To", "Subject", "Date", "Message-ID", "X-Request-ID")


@dataclass(frozen=True)
class ConsoleMailer:
    """Prints each mail's plain text in a frame."""

    writer: MessageWriter
    stream: TextIO = field(default_factory=lambda: sys.stdout)

    async def send(self, mail: Mail) -> None:
        """Returns once it is printed. Raises `MailRejected` or `MailUndelivered`."""
        await asyncio.to_thread(self._print, mail)

    def _print(self, mail: Mail) -> None:
        text = _framed(self.writer.write(mail))
        encoding = self.stream.encoding or "utf-8"
        try:
            self.stream.write(text.encode(encoding, "replace").decode(encoding))
            self.stream.flush()
        except (OSError, ValueError):
            raise MailUndelivered("the console can't be written to") from None


def _framed(message: EmailMessage) -> str:
    """The frame has no right edge, so that a link stays whole and can be clicked or copied."""
    body = message.get_body(("plain",))
    assert isinstance(body, EmailMessage)
    headers = [f"{name}: {message[name]}" for name in SHOWN if name in message]
    lines = [*headers, "", *body.get_content().splitlines()]
    edge = "─" * (WIDTH - 1)
    return "\n".join([f"┌{edge}", *(f"│ {line}".rstrip() for line in lines), f"└{edge}", ""])
