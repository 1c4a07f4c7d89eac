from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from application.jobs import Handler
from application.mail import MailEmailChange, MailVerification
from application.ports.jobs import Job, PermanentFailure
from application.ports.mail import Letter, Mail, MailUndelivered
from domain.errors import TooManyAttempts
from domain.mailed_tokens import Purpose
from domain.throttle import Limit
from domain.users import Actor, Email, NotEnoughPrivileges, User, UserNotFound
from tests.builders import ANOTHER_PASSWORD, World, a_job
from tests.fakes import plain_hash

NEW = "new@example.org"


def handler(world: World, kind: str) -> Handler:
    return world.handlers[kind]


def verification(user: User, *, job_id: str = "job-1", attempt: int = 1) -> Job:
    return a_job("mail_verification", job_id=job_id, attempt=attempt, user_id=user.id)


class TestMailingALink:
    @pytest.mark.parametrize(
        ("kind", "letter", "purpose", "to"),
        [
            ("mail_verification", Letter.VERIFY_EMAIL, Purpose.VERIFY_EMAIL, "ada@example.org"),
            ("mail_verification_again", Letter.VERIFY_EMAIL, Purpose.VERIFY_EMAIL, "ada@example.org"),
            ("mail_password_reset", Letter.RESET_PASSWORD, Purpose.RESET_PASSWORD, "ada@example.org"),
            ("mail_email_change", Letter.CHANGE_EMAIL, Purpose.CHANGE_EMAIL, NEW),
        ],
    )
    async def test_sends_the_letter_and_keeps_only_a_hash_of_what_it_links_to(
        self, world: World, kind: str, letter: Letter, purpose: Purpose, to: str
    ) -> None:
        ada = await world.has(is_verified=False, full_name="Ada")
        job = a_job(kind, user_id=ada.id, email=ada.email, old_email=ada.email, new_email=NEW)
        await handler(world, kind)(job)
        (mail,), (token,) = world.mailer.sent, world.store.mailed_tokens
        assert mail == Mail(id=job.id, letter=letter, to=mail.to, name="Ada", token=mail.token)
        assert mail.token is not None
        assert token.token_hash == world.secrets.hash(mail.token) != mail.token
        assert (mail.to, token.email, token.purpose, token.user_id) == (to, to, purpose, ada.id)
        assert token.expires_at == world.clock.now() + purpose.lifetime

    async def test_again_for_the_same_job_carries_the_same_link_and_message_id(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        world.mailer.fail()
        with pytest.raises(MailUndelivered):
            await handler(world, "mail_verification")(verification(ada))
        assert len(world.store.mailed_tokens) == 1
        world.mailer.recover()
        for attempt in (2, 3):
            await handler(world, "mail_verification")(verification(ada, attempt=attempt))
        one, two = world.mailer.sent
        assert one == two
        assert len(world.store.mailed_tokens) == 1

    async def test_again_much_later_gives_the_link_its_whole_time(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        await handler(world, "mail_verification")(verification(ada))
        world.clock.advance(timedelta(hours=30))
        await handler(world, "mail_verification")(verification(ada, attempt=2))
        world.clock.advance(timedelta(hours=23))
        await world.verify_email(world.last_token())

    async def test_again_after_the_link_was_used_sends_nothing(self, world: World) -> None:
        ada = await world.has()
        job = a_job("mail_password_reset", email=ada.email)
        await handler(world, job.kind)(job)
        async with world.store.begin() as work:
            await world.redeem(work, world.last_token(), Purpose.RESET_PASSWORD)
        await handler(world, job.kind)(job)
        assert len(world.mailer.sent) == 1

    async def test_again_after_a_later_mail_sends_nothing_and_leaves_the_later_link_alone(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        await handler(world, "mail_verification")(verification(ada, job_id="first"))
        await handler(world, "mail_verification")(verification(ada, job_id="second"))
        later = world.last_token()
        await handler(world, "mail_verification")(verification(ada, job_id="first", attempt=2))
        assert [mail.id for mail in world.mailer.sent] == ["first", "second"]
        await world.verify_email(later)

    async def test_for_one_purpose_leaves_the_links_for_another_alone(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        await handler(world, "mail_verification")(verification(ada, job_id="first"))
        token = world.last_token()
        await handler(world, "mail_password_reset")(a_job(job_id="second", email=ada.email))
        await world.verify_email(token)

    async def test_for_one_user_leaves_the_links_of_another_alone(self, world: World) -> None:
        ada, bob = await world.has(is_verified=False), await world.has("bob@example.org", is_verified=False)
        await handler(world, "mail_verification")(verification(ada, job_id="first"))
        token = world.last_token()
        await handler(world, "mail_verification")(verification(bob, job_id="second"))
        await world.verify_email(token)

    async def test_the_server_refusing_it_for_good_is_a_permanent_failure(self, world: World) -> None:
        world.mailer.reject()
        with pytest.raises(PermanentFailure):
            await handler(world, "mail_verification")(verification(await world.has(is_verified=False)))

    async def test_to_a_user_deleted_at_that_moment_leaves_no_token(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        mail_verification = handler(world, "mail_verification")
        assert isinstance(mail_verification, MailVerification)
        async with world.store.begin() as work:
            await work.users.delete(ada.id)
        with pytest.raises(UserNotFound):
            await mail_verification.mail_link(
                verification(ada), Letter.VERIFY_EMAIL, Purpose.VERIFY_EMAIL, ada, lambda user: user.email
            )
        assert (world.store.mailed_tokens, world.mailer.sent) == ([], [])
        await mail_verification(verification(ada, attempt=2))
        assert world.mailer.sent == []


class TestMailingNothing:
    @pytest.mark.parametrize(
        "kind",
        [
            "mail_verification",
            "mail_verification_again",
            "mail_password_reset",
            "mail_email_change",
        ],
    )
    async def test_to_a_user_who_is_gone_is_no_error(self, world: World, kind: str) -> None:
        await handler(world, kind)(
            a_job(kind, user_id=4711, email="ada@example.org", old_email="ada@example.org", new_email=NEW)
        )
        assert (world.mailer.sent, world.store.mailed_tokens) == ([], [])

    async def test_to_one_who_is_verified_by_now(self, world: World) -> None:
        ada = await world.has(is_verified=True)
        await handler(world, "mail_verification")(verification(ada))
        await handler(world, "mail_verification_again")(a_job(email=ada.email))
        assert (world.mailer.sent, world.store.mailed_tokens) == ([], [])

    @pytest.mark.parametrize(
        "change",
        [{"email": Email("back@example.org")}, {"password_hash": plain_hash(ANOTHER_PASSWORD)}, {"is_active": False}],
        ids=["address", "password", "deactivated"],
    )
    @pytest.mark.parametrize("looks", ["afterwards", "just before"])
    async def test_that_could_take_an_account_away_that_was_changed_since(
        self, world: World, change: dict[str, Any], looks: str
    ) -> None:
        ada = await world.has()
        mail_email_change = handler(world, "mail_email_change")
        assert isinstance(mail_email_change, MailEmailChange)
        if looks == "just before":
            earlier = World()
            await earlier.add(ada)
            mail_email_change = replace(mail_email_change, reads=earlier.store)
        async with world.store.begin() as work:
            await work.users.save(replace(ada, **change))
        mark = ada.password_mark
        await mail_email_change(a_job(user_id=ada.id, old_email=ada.email, new_email=NEW, password_mark=mark))
        assert (world.mailer.sent, world.store.mailed_tokens) == ([], [])

    async def test_to_an_address_that_its_owner_gave_up(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        async with world.store.begin() as work:
            await work.users.save(replace(ada, email=ada.email.known(NEW)))
        await handler(world, "mail_password_reset")(a_job(email="ada@example.org"))
        assert world.mailer.sent == []


class TestNotices:
    @pytest.mark.parametrize(
        ("kind", "letter"),
        [
            ("mail_email_change_requested", Letter.EMAIL_CHANGE_REQUESTED),
            ("mail_email_changed", Letter.EMAIL_CHANGED),
        ],
    )
    async def test_of_another_address_go_to_the_old_one(self, world: World, kind: str, letter: Letter) -> None:
        ada = await world.has(NEW, full_name="Ada")
        job = a_job(kind, user_id=ada.id, old_email="old@example.org", new_email=NEW)
        await handler(world, kind)(job)
        (mail,) = world.mailer.sent
        assert mail == Mail(id=job.id, letter=letter, to=mail.to, name="Ada", other_email=NEW)
        assert mail.to == "old@example.org"

    async def test_of_a_changed_password_go_to_the_address_of_that_time(self, world: World) -> None:
        ada = await world.has(full_name="Ada")
        await world.change_the_password(ada)
        async with world.store.begin() as work:
            await work.users.save(replace(await work.users.get(ada.id), email=Email(NEW)))
        await world.do_jobs()
        (mail,) = world.mailer.sent
        assert mail == Mail(id=mail.id, letter=Letter.PASSWORD_CHANGED, to=ada.email, name="Ada")
        assert world.store.mailed_tokens == []

    @pytest.mark.parametrize("kind", ["mail_password_changed", "mail_email_change_requested", "mail_email_changed"])
    async def test_reach_somebody_whose_account_is_gone_by_then(self, world: World, kind: str) -> None:
        had: dict[str, Any] = (
            {"email": "ada@example.org"} if kind == "mail_password_changed" else {"old_email": "ada@example.org"}
        )
        await handler(world, kind)(a_job(kind, user_id=4711, **had))
        (mail,) = world.mailer.sent
        assert (mail.to, mail.name) == ("ada@example.org", None)

    async def test_that_an_earlier_version_wrote_down_without_an_address_go_to_the_present_one(
        self, world: World
    ) -> None:
        ada = await world.has()
        for user_id in (ada.id, 4711):
            await handler(world, "mail_password_changed")(a_job(user_id=user_id))
        assert [mail.to for mail in world.mailer.sent] == [ada.email]


class TestWritingAMail:
    async def write(self, world: World, writer: Actor, subject: str = "Hello", message: str = "How are you?") -> None:
        await world.send_email(writer, email=Email(NEW), subject=subject, message=message)

    async def test_a_superuser_has_ones_own_words_sent_to_any_address(self, world: World) -> None:
        root = await world.actor(await world.has("root@example.org", is_superuser=True))
        await self.write(world, root)
        (job,) = [job for job in await world.store.jobs.list_jobs(state=None, limit=9) if job.kind == "mail_message"]
        await world.do_jobs()
        assert world.mailer.sent == [
            Mail(id=job.id, letter=Letter.MESSAGE, to=Email(NEW), name=None, subject="Hello", message="How are you?")
        ]

    async def test_words_that_break_the_rules_are_not_sent_and_nobody_else_s_are(self, world: World) -> None:
        root = await world.actor(await world.has("root@example.org", is_superuser=True))
        ada = await world.actor(await world.has())
        with pytest.raises(ValueError, match="subject"):
            await self.write(world, root, subject="")
        with pytest.raises(ValueError, match="message"):
            await self.write(world, root, message="")
        with pytest.raises(NotEnoughPrivileges):
            await self.write(world, ada)
        await world.do_jobs()
        assert world.mailer.sent == []

    async def test_whoever_writes_too_many_has_to_wait_and_nobody_else(self, world: World) -> None:
        root, other = [
            await world.actor(await world.has(email, is_superuser=True)) for email in ("a@example.org", "b@example.org")
        ]
        for _ in range(Limit.WRITTEN_MAIL.value.attempts):
            await self.write(world, root)
        with pytest.raises(TooManyAttempts):
            await self.write(world, root)
        await self.write(world, other)


async def test_each_letter_is_sent_by_some_reaction(world: World) -> None:
    ada = await world.has(is_verified=False)
    for number, kind in enumerate(world.handlers):
        if kind.startswith("mail_"):
            about: dict[str, Any] = {"user_id": ada.id, "email": ada.email, "old_email": ada.email, "new_email": NEW}
            job = a_job(kind, job_id=str(number), **about, subject="Hello", message="How are you?")
            await handler(world, kind)(job)
    assert {mail.letter for mail in world.mailer.sent} == set(Letter)
