"""Writing a mail, and the reactions that send what there is to send.

A token is made when its mail is, from the job's id: so no row ever holds the link, and another attempt carries the
same link.
"""

from collections.abc import Callable
from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.jobs import Job
from application.ports.mail import Letter, Mail, Mailer
from application.ports.persistence import Also, Begin, Reads
from application.ports.security import Secrets
from application.ports.throttle import Throttle
from domain.events import EmailRequested
from domain.mail import valid_message, valid_subject
from domain.mailed_tokens import MailedToken, Purpose
from domain.throttle import Limit
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


Recipient = Callable[[User], Email | None]
"""Which address of that account a letter goes to; None if it isn't to be sent any more."""


@dataclass(frozen=True)
class MailLink:
    """Send a letter with a link, unless its token is dead by now: used, or superseded by a later mail's.

    `to` is asked of the account as it is in the transaction that makes the token: what kills the links that are there
    comes before it, and is seen, or after it, and kills this one too.
    """

    begin: Begin
    secrets: Secrets
    mailer: Mailer
    clock: Clock

    async def __call__(self, job: Job, letter: Letter, purpose: Purpose, user: User | None, to: Recipient) -> None:
        if user is None or to(user) is None:
            return
        secret = self.secrets.derived(purpose, job.id)
        async with self.begin() as work:
            user = await work.users.get(user.id)
            email = to(user)
            if email is None:
                return
            token = MailedToken(
                token_hash=self.secrets.hash(secret),
                user_id=user.id,
                purpose=purpose,
                email=email,
                expires_at=self.clock.now() + purpose.lifetime,
            )
            live = await work.mailed_tokens.replace(token)
        if live:
            await self.mailer.send(Mail(id=job.id, letter=letter, to=email, name=user.full_name, token=secret))


async def _find(reads: Reads, job: Job) -> User | None:
    """The user that the job is about, if there still is one."""
    try:
        return await reads.user(job.payload["user_id"])
    except UserNotFound:
        return None


def _unverified(user: User) -> Email | None:
    return user.email if user.is_active and not user.is_verified else None


@dataclass(frozen=True)
class MailVerification:
    """The reaction to `UserRegistered`."""

    reads: Reads
    mail_link: MailLink

    async def __call__(self, job: Job) -> None:
        user = await _find(self.reads, job)
        await self.mail_link(job, Letter.VERIFY_EMAIL, Purpose.VERIFY_EMAIL, user, _unverified)


@dataclass(frozen=True)
class MailVerificationAgain:
    """The reaction to `VerificationRequested`, which knows an address only: nothing, if no account has it."""

    reads: Reads
    mail_link: MailLink

    async def __call__(self, job: Job) -> None:
        user = await self.reads.user_by_email(Email(job.payload["email"]))
        await self.mail_link(job, Letter.VERIFY_EMAIL, Purpose.VERIFY_EMAIL, user, _unverified)


@dataclass(frozen=True)
class MailPasswordReset:
    """The reaction to `PasswordResetRequested`: nothing, if no active account has the address."""

    reads: Reads
    mail_link: MailLink

    async def __call__(self, job: Job) -> None:
        email = Email(job.payload["email"])

        def to(user: User) -> Email | None:
            return email if user.is_active and user.email == email else None

        user = await self.reads.user_by_email(email)
        await self.mail_link(job, Letter.RESET_PASSWORD, Purpose.RESET_PASSWORD, user, to)


@dataclass(frozen=True)
class MailEmailChange:
    """The reaction to `EmailChangeRequested`: the link that takes the new address.

    Nothing, if address or password were changed since it was asked for, or the account was deactivated: whoever asked
    may be the one whom that was to shut out.
    """

    reads: Reads
    mail_link: MailLink

    async def __call__(self, job: Job) -> None:
        old_email, new_email = Email(job.payload["old_email"]), Email(job.payload["new_email"])

        def to(user: User) -> Email | None:
            # A job that an earlier version wrote down has no mark.
            has_password = job.payload.get("password_mark", user.password_mark) == user.password_mark
            return new_email if user.is_active and user.email == old_email and has_password else None

        user = await _find(self.reads, job)
        await self.mail_link(job, Letter.CHANGE_EMAIL, Purpose.CHANGE_EMAIL, user, to)


@dataclass(frozen=True)
class MailNotice:
    """Tell somebody, at the address they had, that something about their account was changed or asked for.

    They are told whatever became of the account since; of one that is gone the name isn't known any more.
    """

    reads: Reads
    mailer: Mailer
    letter: Letter

    async def __call__(self, job: Job) -> None:
        user = await _find(self.reads, job)
        had = job.payload.get("old_email") or job.payload.get("email")
        if had is None:  # an earlier version wrote the job down, without the address
            if user is None:
                return
            had = user.email
        name = user.full_name if user is not None else None
        await self.mailer.send(
            Mail(id=job.id, letter=self.letter, to=Email(had), name=name, other_email=job.payload.get("new_email"))
        )


@dataclass(frozen=True)
class MailMessage:
    """The reaction to `EmailRequested`."""

    mailer: Mailer

    async def __call__(self, job: Job) -> None:
        to, subject, message = (job.payload[name] for name in ("email", "subject", "message"))
        mail = Mail(id=job.id, letter=Letter.MESSAGE, to=Email(to), name=None, subject=subject, message=message)
        await self.mailer.send(mail)
