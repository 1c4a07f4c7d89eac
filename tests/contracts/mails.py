"""Mails to send, and what to look at once they have arrived."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from adapters.mail.message import LINKS, MessageWriter
from adapters.mail.smtp import SmtpMailer
from application.correlation import request_id
from application.ports.mail import Letter, Mail
from domain.users import Email
from tests.mail_server import MailServer

TOKEN = "s3cret-Tok_en/with+all=kinds&of?signs"
PASSWORD = "smtp-Passw0rd"
WRITER = MessageWriter("https://portico.example", "Portico", "noreply@portico.example", "Portico")


def a_mail(
    letter: Letter = Letter.VERIFY_EMAIL,
    *,
    mail_id: str = "0199a7c2",
    to: str = "ada@example.org",
    name: str | None = "Ada Lovelace",
) -> Mail:
    linked = letter in LINKS
    return Mail(
        id=mail_id,
        letter=letter,
        to=Email(to),
        name=name,
        token=TOKEN if linked else None,
        other_email=None if linked else "countess@example.net",
        subject="Hello" if letter is Letter.MESSAGE else None,
        message="How are you?\nYours, Ada" if letter is Letter.MESSAGE else None,
    )


def parsed(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=default)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert isinstance(body, EmailMessage)
    return str(body.get_content()).replace("\r\n", "\n")


@contextmanager
def caused_by(cause: str | None) -> Iterator[None]:
    reset = request_id.set(cause)
    yield
    request_id.reset(reset)


def told(failure: BaseException) -> str:
    """Everything that a log could get out of an exception."""
    causes = [one for one in (failure.__cause__, failure.__context__) if one is not None]
    return "".join([*traceback.format_exception(failure), repr(failure), *map(told, causes)])


def mailer_to(server: MailServer, **changes: object) -> SmtpMailer:
    settings: dict[str, object] = {
        "tls": server.tls,
        "tls_context": server.trusting,
        "user": server.credentials[0] if server.credentials else None,
        "password": server.credentials[1] if server.credentials else None,
        **changes,
    }
    return SmtpMailer(WRITER, server.host, server.port, **settings)  # type: ignore[arg-type]
