"""Writing a mail, and the reactions that send what there is to send.

A token is made when its mail is, from the job's id: so no row ever holds the link, and another attempt carries the
same link.
"""

from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.mail import Letter, Mail, Mailer
from application.ports.persistence import Also, Begin, Reads
from application.ports.security import Secrets
from application.ports.throttle import Limit, Throttle
from domain.events import EmailRequested
from domain.mail import valid_message, valid_subject
from domain.mailed_tokens import MailedToken, Purpose
from domain.users import Actor, Email, User, UserNotFound


@dataclass(frozen=True)
class SendEmail:
    """Have a mail of one's own words sent to any address, soon. `also`, if it is given, is done in the same
    transaction.

    Raises `NotEnoughPrivileges`, `TooManyAttempts`, or `ValueError` for a text that breaks the rules.
    """

    begin: Begin
    throttle: Throttle

    async def __call__(
        self, actor: Actor, *, email: Email, subject: str, message: str, also: Also[None] | None = None
    ) -> None:
        actor.must_be_superuser()
        event = EmailRequested(email, valid_subject(subject), valid_message(message))
        await self.throttle.spend(Limit.WRITTEN_MAIL, str(actor.user.id))
        async with self.begin() as work:
            work.announce(event)
            if also is not None:
                await also(work, None)


@dataclass(frozen=True)
class MailLink:
    """Send a letter with a link, unless its token is dead by now: used, or superseded by a later mail's."""

    begin: Begin
    secrets: Secrets
    mailer: Mailer
    clock: Clock

    async def __call__(self, job: Job, letter: Letter, purpose: Purpose, user: User, to: Email) -> None:
        secret = self.secrets.derived(purpose, job.id)
        token = MailedToken(
            token_hash=self.secrets.hash(secret),
            user_id=user.id,
            purpose=purpose,
            email=to,
            expires_at=self.clock.now() + purpose.lifetime,
        )
        async with self.begin() as work:
            await work.users.get(user.id)
            live = await work.mailed_tokens.replace(token)
        if live:
            await self.mailer.send(Mail(id=job.id, letter=letter, to=to, name=user.full_name, token=secret))


async def _find(reads: Reads, job: Job) -> User | None:
    """The user that the job is about, if there still is one."""
    try:
        return await reads.user(job.payload["user_id"])
    except UserNotFound:
        return None


@dataclass(frozen=True)
class MailVerification:
    reads: Reads
    mail_link: MailLink

    async def __call__(self, job: Job) -> None:
        user = await _find(self.reads, job)
        if user is not None and not user.is_verified:
            await self.mail_link(job, Letter.VERIFY_EMAIL, Purpose.VERIFY_EMAIL, user, user.email)


@dataclass(frozen=True)
class MailVerificationAgain:
    reads: Reads
    mail_link: MailLink

    async def __call__(self, job: Job) -> None:
        user = await self.reads.user_by_email(Email(job.payload["email"]))
        if user is not None and user.is_active and not user.is_verified:
            await self.mail_link(job, Letter.VERIFY_EMAIL, Purpose.VERIFY_EMAIL, user, user.email)


@dataclass(frozen=True)
class MailPasswordReset:
    reads: Reads
    mail_link: MailLink

    async def __call__(self, job: Job) -> None:
        user = await self.reads.user_by_email(Email(job.payload["email"]))
        if user is not None and user.is_active:
            await self.mail_link(job, Letter.RESET_PASSWORD, Purpose.RESET_PASSWORD, user, user.email)


@dataclass(frozen=True)
class MailEmailChange:
    reads: Reads
    mail_link: MailLink

    async def __call__(self, job: Job) -> None:
        user = await _find(self.reads, job)
        if user is not None:
            new_email = Email(job.payload["new_email"])
            await self.mail_link(job, Letter.CHANGE_EMAIL, Purpose.CHANGE_EMAIL, user, new_email)


@dataclass(frozen=True)
class MailNotice:
    """Tell somebody, at the address they had, that something about their account was changed or asked for."""

    reads: Reads
    mailer: Mailer
    letter: Letter

    async def __call__(self, job: Job) -> None:
        user = await _find(self.reads, job)
        if user is None:
            return
        to = Email(job.payload.get("old_email", user.email))
        await self.mailer.send(
            Mail(id=job.id, letter=self.letter, to=to, name=user.full_name, other_email=job.payload.get("new_email"))
        )


@dataclass(frozen=True)
class MailMessage:
    """The reaction to `EmailRequested`."""

    mailer: Mailer

    async def __call__(self, job: Job) -> None:
        to, subject, message = (job.payload[name] for name in ("email", "subject", "message"))
        mail = Mail(id=job.id, letter=Letter.MESSAGE, to=Email(to), name=None, subject=subject, message=message)
        await self.mailer.send(mail)
