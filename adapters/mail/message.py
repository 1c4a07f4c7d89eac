"""Wording a letter: from what is to be said to a message that can be sent (RFC 5322, RFC 2045, RFC 6532)."""

import email.policy
import email.utils
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UniqueSingleAddressHeader, UnstructuredHeader
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from application.correlation import request_id
from application.ports.mail import Letter, Mail, MailRejected, MailUndelivered
from domain.lines import BIDIRECTIONAL

if TYPE_CHECKING:
    from email.policy import Policy

    from jinja2 import Environment

TEMPLATES: Final = Path(__file__).with_name("templates")
LINKS: Final[Mapping[Letter, str]] = {
    Letter.VERIFY_EMAIL: "/verify-email",
    Letter.RESET_PASSWORD: "/reset-password",
    Letter.CHANGE_EMAIL: "/change-email",
}
LONGEST_NAME: Final = 80
LINK_LIKE: Final = re.compile(r"[/@\\]|\w[.\u3002\uff0e\uff61]\w\w|www\.", re.IGNORECASE)
ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
LOCAL_PART: Final = re.compile(rf"{ATOM}(?:\.{ATOM})*")
SPECIALS: Final = re.compile(r'[()<>@,;:\\".\[\]]')


class _Verbatim(UnstructuredHeader, BaseHeader):
    """A header of printable ASCII that is never folded: folding would turn a long identifier into encoded words."""

    def fold(self, *, policy: "Policy") -> str:
        return f"{self.name}: {self}{policy.linesep}"


class _Sender(UniqueSingleAddressHeader, BaseHeader):  # type: ignore[misc]  # as the registry itself combines them
    """A From header. Folded by the standard library, a long name would lose the quotes around its specials."""

    def fold(self, *, policy: "Policy") -> str:
        (address,) = self.addresses
        name = address.display_name
        if not name.isascii():
            phrase = Header(name, "utf-8", header_name=self.name).encode(linesep=policy.linesep)
        else:
            phrase = f'"{email.utils.quote(name)}"' if SPECIALS.search(name) else name
        return f"{self.name}: {phrase} <{address.addr_spec}>{policy.linesep}"


_HEADERS: Final = HeaderRegistry()
_HEADERS.map_to_type("X-Request-ID", _Verbatim)
_HEADERS.map_to_type("From", _Sender)
_POLICY: Final = email.policy.SMTP.clone(header_factory=_HEADERS)


@dataclass(frozen=True)
class MessageWriter:
    """Words every letter in HTML and in plain text.

    What people typed reaches no header, but for the subject that somebody gave a message of theirs: a recipient appears
    as the checked address alone, and is greeted by name only in the text. The first call loads the template engine, so
    call it in a thread.
    """

    public_url: str
    project_name: str
    from_email: str
    from_name: str

    def write(self, mail: Mail) -> EmailMessage:
        """The message. Raises `MailRejected` if the recipient's address isn't one, `MailUndelivered` if ours isn't."""
        message = self._addressed(mail)
        values = self._values(mail)
        text = self._templates.get_template(f"{mail.letter}.txt")
        html = self._templates.get_template(f"{mail.letter}.html")
        subject = one_line("".join(text.blocks["subject"](text.new_context(values))))
        message["Subject"] = subject
        message["Date"] = datetime.now(UTC)
        message["Message-ID"] = f"<{quote(mail.id, safe='')}@{message['From'].addresses[0].domain}>"
        message["Auto-Submitted"] = "auto-generated"
        if (cause := request_id.get()) is not None:
            message["X-Request-ID"] = cause
        message.set_content(text.render(values), cte="quoted-printable")
        message.add_alternative(html.render(values, subject=subject), subtype="html", cte="quoted-printable")
        return message

    def _addressed(self, mail: Mail) -> EmailMessage:
        message = EmailMessage(policy=_POLICY)
        try:
            sender = transported(self.from_email)
        except ValueError:
            raise MailUndelivered("the sender's address is not a valid one") from None
        try:
            message["To"] = transported(mail.to)
        except ValueError:
            raise MailRejected("the recipient's address is not a valid one") from None
        message["From"] = Address(one_line(self.from_name)[:LONGEST_NAME], sender.username, sender.domain)
        return message

    def _values(self, mail: Mail) -> dict[str, str | None]:
        values = {
            "project": one_line(self.project_name),
            "home": self.public_url,
            "name": greeted_name(mail.name),
            "to": one_line(mail.to),
        }
        if mail.token is not None and mail.letter in LINKS:
            values["link"] = f"{self.public_url.rstrip('/')}{LINKS[mail.letter]}?token={quote(mail.token, safe='')}"
        if mail.other_email is not None:
            values["other_email"] = one_line(mail.other_email)
        if mail.subject is not None and mail.message is not None:
            values |= {"subject": one_line(mail.subject), "message": lines(mail.message)}
        return values

    @cached_property
    def _templates(self) -> "Environment":
        from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

        return Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )


def transported(text: str) -> Address:
    """The address as it is transported: its domain in A-labels (RFC 5891), its local part as it is (RFC 6531).

    Any domain will do, also one that only this network knows. Raises `ValueError` if it can't be an address.
    """
    import idna

    local, _, domain = text.rpartition("@")
    if not LOCAL_PART.fullmatch(local) or not local.isprintable() or len(local.encode()) > 64 or domain.endswith("."):
        raise ValueError
    return Address(username=local, domain=idna.encode(domain, uts46=True, std3_rules=True).decode("ascii"))


def needs_utf8(message: EmailMessage) -> bool:
    """Whether an address has a local part outside ASCII, so that only SMTPUTF8 (RFC 6531) can carry it."""
    return not all(address.addr_spec.isascii() for name in ("From", "To") for address in message[name].addresses)


def as_bytes(message: EmailMessage) -> bytes:
    """The message on the wire, with CRLF as line ending."""
    return message.as_bytes(policy=_POLICY.clone(utf8=needs_utf8(message)))


def one_line(text: str) -> str:
    """The text without whatever could start a line, drive a terminal, turn the reading direction or be decoded again.

    The standard library decodes what looks like an encoded word (RFC 2047) when it folds a header, line breaks too.
    """
    kept = (" " if character.isspace() else character for character in text if character not in BIDIRECTIONAL)
    shown = "".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cs", "Cn", "Co"))
    return " ".join(shown.split()).replace("=?", "= ?")


def lines(text: str) -> str:
    """The text with plain line ends, without whatever could drive a terminal."""
    return "\n".join(
        "".join(c for c in line if c == "\t" or unicodedata.category(c) not in ("Cc", "Cs"))
        for line in text.splitlines()
    )


def greeted_name(name: str | None) -> str | None:
    """The name to greet somebody by; None if there is none, or if it reads like a link.

    Whoever registers a stranger's address chooses the name in the mail that the stranger gets: it must not carry
    a message of its own.
    """
    shown = one_line(name or "")
    return None if not shown or len(shown) > LONGEST_NAME or LINK_LIKE.search(shown) else shown
