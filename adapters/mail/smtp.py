"""Mail by SMTP (RFC 5321), encrypted with STARTTLS (RFC 3207) or from the start (RFC 8314)."""

import asyncio
import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TYPE_CHECKING, Final, Literal

from adapters.mail.message import MessageWriter, as_bytes, needs_utf8
from application.ports.mail import Mail, MailRejected, MailUndelivered

if TYPE_CHECKING:
    from aiosmtplib import SMTP, SMTPResponseException

FAREWELL_SECONDS: Final = 1.0
OURS_TO_MEND: Final = frozenset({530, 534, 535, 538})
"""Refusals of how we sign in or encrypt, not of the message (RFC 4954): it can go out once the settings are right."""
ENHANCED_CODE: Final = re.compile(r"^[245]\.\d{1,3}\.\d{1,3}\b")


@dataclass(frozen=True)
class SmtpMailer:
    """Hands each mail to one server, over a connection of its own, within `timeout_seconds` in all.

    Unless `tls` is `none`, nothing is sent before the connection is encrypted and the server's certificate verified:
    with `tls_context`, or else against the system's trust store.

    At least once: a connection that breaks after the message was sent, but before the server confirmed it, counts as
    undelivered, and the next attempt has the same Message-ID.
    """

    writer: MessageWriter
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    timeout_seconds: float = 20
    tls_context: ssl.SSLContext | None = None

    async def send(self, mail: Mail) -> None:
        """Returns once the server has accepted the mail. Raises `MailRejected` or `MailUndelivered`.

        The texts say what the server's codes were, but repeat nothing that it said: it may quote the message.
        """
        message = await asyncio.to_thread(self._written, mail)
        import aiosmtplib

        client = self._client()
        failure: MailRejected | MailUndelivered
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await client.connect()
                await _submit(client, message)
        except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:
            failure = self._translated(error)
        else:
            await _part(client)
            return
        finally:
            client.close()
        raise failure

    def _written(self, mail: Mail) -> EmailMessage:
        """Loads what sends it, too: that takes a while, and this runs in a thread."""
        import aiosmtplib  # noqa: F401

        return self.writer.write(mail)

    async def greet(self) -> None:
        """Connect and sign in as for a mail, and part. Raises `MailUndelivered` or `MailRejected`."""
        import aiosmtplib

        client = self._client()
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await client.connect()
            await _part(client)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._translated(error) from None
        finally:
            client.close()

    def _client(self) -> "SMTP":
        from aiosmtplib import SMTP

        return SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user or None,
            password=self.password,
            use_tls=self.tls == "tls",
            start_tls=self.tls == "starttls",
            tls_context=self.tls_context,
            timeout=self.timeout_seconds,
        )

    def _translated(self, error: Exception) -> MailRejected | MailUndelivered:
        import aiosmtplib as smtp

        server = f"the mail server {self.host}:{self.port}"
        if isinstance(error, smtp.SMTPRecipientsRefused):
            error = error.recipients[0]
        match error:
            case smtp.SMTPSenderRefused():
                return _refusal(f"{server} refused the sender", error)
            case smtp.SMTPRecipientRefused():
                return _refusal(f"{server} refused the recipient", error)
            case smtp.SMTPDataError():
                return _refusal(f"{server} refused the message", error)
            case smtp.SMTPNotSupported():
                return MailRejected(f"{server} can't carry addresses outside ASCII (SMTPUTF8)")
            case _:
                return MailUndelivered(f"{server} {_trouble(error, self.timeout_seconds)}")


def _trouble(error: BaseException, timeout_seconds: float) -> str:
    """What is wrong with a server, or with the way to it, so that no mail can be handed over."""
    import aiosmtplib as smtp

    match error:
        case smtp.SMTPAuthenticationError(code=code, message=message):
            what = f"refused the user name or the password: {_codes(code, message)}"
        case smtp.SMTPResponseException(code=code, message=message):
            what = f"answered {_codes(code, message)}"
        case TimeoutError():
            what = f"took longer than {timeout_seconds:g} s"
        case ssl.SSLCertVerificationError():
            what = f"has a certificate that can't be trusted: {error.verify_message}"
        case ssl.SSLError():
            what = f"can't be spoken to in TLS: {error.reason}"
        case smtp.SMTPConnectError(__cause__=OSError() as cause):
            what = _trouble(cause, timeout_seconds)
        case smtp.SMTPServerDisconnected():
            what = "closed the connection"
        case OSError(errno=int(number)) if number > 0:
            what = f"can't be reached: {os.strerror(number)}"
        case smtp.SMTPException(message=message) if type(error) is smtp.SMTPException:
            what = f"can't be used as it is set: {message}"
        case _:
            what = "can't be reached"
    return what


async def _submit(client: "SMTP", message: EmailMessage) -> None:
    sender, recipient = (message[name].addresses[0].addr_spec for name in ("From", "To"))
    options = ["SMTPUTF8", "BODY=8BITMIME"] if needs_utf8(message) else []
    await client.sendmail(sender, [recipient], as_bytes(message), mail_options=options)


async def _part(client: "SMTP") -> None:
    """Say goodbye. The mail is accepted by now, so whatever goes wrong here is nobody's concern."""
    from aiosmtplib import SMTPException

    with suppress(SMTPException, OSError):
        await client.quit(timeout=FAREWELL_SECONDS)


def _refusal(what: str, response: "SMTPResponseException") -> MailRejected | MailUndelivered:
    permanent = 500 <= response.code <= 599 and response.code not in OURS_TO_MEND
    return (MailRejected if permanent else MailUndelivered)(f"{what}: {_codes(response.code, response.message)}")


def _codes(code: int, message: str) -> str:
    """The reply code, and the enhanced status code (RFC 3463) if there is one."""
    if not 200 <= code <= 599:
        return "something that is no reply"
    enhanced = ENHANCED_CODE.match(message)
    return f"{code} {enhanced.group()}" if enhanced else str(code)
