from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from application.ports.mail import Letter
from domain.errors import TooManyAttempts
from domain.events import EmailChanged, EmailChangeRequested, VerificationRequested
from domain.mailed_tokens import InvalidMailedToken
from domain.passwords import Password, WrongPassword
from domain.throttle import Limit
from domain.users import Email, EmailTaken, User
from tests.builders import ANOTHER_PASSWORD, PASSWORD, World

NEW = Email("new@example.org")


async def link_to_verify(world: World, user: User) -> str:
    await world.resend_verification(user.email, client="192.0.2.1")
    await world.do_jobs()
    return world.last_token()


async def ask_for_change(world: World, user: User, *, to: Email = NEW, client: str = "192.0.2.1") -> None:
    await world.request_email_change(await world.actor(user), new_email=to, password=Password(PASSWORD), client=client)


async def link_to_change(world: World, user: User, *, to: Email = NEW) -> str:
    await ask_for_change(world, user, to=to)
    await world.do_jobs()
    token = world.mails(Letter.CHANGE_EMAIL)[-1].token
    assert token is not None
    return token


class TestVerifying:
    async def test_proves_the_address(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        await world.verify_email(await link_to_verify(world, ada))
        assert (await world.store.user(ada.id)).is_verified

    async def test_works_once_for_a_day_and_with_the_last_link_only(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        first, second = await link_to_verify(world, ada), await link_to_verify(world, ada)
        with pytest.raises(InvalidMailedToken):
            await world.verify_email(first)
        await world.verify_email(second)
        with pytest.raises(InvalidMailedToken):
            await world.verify_email(second)

    async def test_with_an_expired_link_is_refused(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        token = await link_to_verify(world, ada)
        world.clock.advance(timedelta(hours=24))
        with pytest.raises(InvalidMailedToken):
            await world.verify_email(token)
        assert not (await world.store.user(ada.id)).is_verified

    async def test_with_an_unknown_token_or_one_for_another_purpose_is_refused(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        for token in ("", "unknown", await link_to_change(world, ada)):
            with pytest.raises(InvalidMailedToken):
                await world.verify_email(token)
        assert not (await world.store.user(ada.id)).is_verified

    async def test_with_a_link_mailed_to_a_former_address_is_refused(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        token = await link_to_verify(world, ada)
        async with world.store.begin() as work:
            await work.users.save(replace(ada, email=NEW))
        with pytest.raises(InvalidMailedToken):
            await world.verify_email(token)
        assert not (await world.store.user(ada.id)).is_verified


class TestAskingForTheVerificationAgain:
    async def test_does_the_same_for_known_and_unknown_addresses(self, world: World) -> None:
        await world.has(is_verified=False)
        for email in ("ada@example.org", "nobody@example.org"):
            await world.resend_verification(Email(email), client="192.0.2.1")
        assert world.store.announced == [
            VerificationRequested("ada@example.org"),
            VerificationRequested("nobody@example.org"),
        ]
        await world.do_jobs()
        assert [(mail.letter, mail.to) for mail in world.mailer.sent] == [(Letter.VERIFY_EMAIL, "ada@example.org")]

    @pytest.mark.parametrize("state", [{"is_verified": True}, {"is_verified": False, "is_active": False}])
    async def test_mails_nothing_to_a_verified_or_deactivated_account(
        self, world: World, state: dict[str, Any]
    ) -> None:
        await world.has(**state)
        await world.resend_verification(Email("ada@example.org"), client="192.0.2.1")
        await world.do_jobs()
        assert world.mailer.sent == []
        assert world.outcomes == [("mail_verification_again", "done")]

    async def test_is_throttled_to_sixty_an_hour_for_each_client(self, world: World) -> None:
        for _ in range(60):
            await world.resend_verification(NEW, client="192.0.2.1")
        with pytest.raises(TooManyAttempts):
            await world.resend_verification(NEW, client="192.0.2.1")
        await world.resend_verification(NEW, client="192.0.2.2")
        assert len(world.store.announced) == 61


class TestAskingForAnotherAddress:
    async def test_mails_a_link_to_the_new_one_and_a_notice_to_the_old_one(self, world: World) -> None:
        ada = await world.has(full_name="Ada")
        await ask_for_change(world, ada)
        assert world.store.announced == [
            EmailChangeRequested(ada.id, old_email=ada.email, new_email=NEW, password_mark=ada.password_mark)
        ]
        await world.do_jobs()
        (link,), (notice,) = world.mails(Letter.CHANGE_EMAIL), world.mails(Letter.EMAIL_CHANGE_REQUESTED)
        assert (link.to, link.name, link.token is not None) == (NEW, "Ada", True)
        assert (notice.to, notice.other_email, notice.token) == (ada.email, NEW, None)

    async def test_changes_nothing_yet(self, world: World) -> None:
        ada = await world.has()
        await link_to_change(world, ada)
        assert await world.store.user(ada.id) == ada

    async def test_takes_the_password(self, world: World) -> None:
        ada = await world.has()
        actor = await world.actor(ada)
        with pytest.raises(WrongPassword):
            await world.request_email_change(
                actor, new_email=NEW, password=Password(ANOTHER_PASSWORD), client="192.0.2.1"
            )
        assert world.store.announced == []

    async def test_is_throttled_to_sixty_an_hour_for_each_client_whether_the_address_is_taken_or_not(
        self, world: World
    ) -> None:
        ada, bob = await world.has(), await world.has("bob@example.org")
        for _ in range(30):
            await ask_for_change(world, ada)
            with pytest.raises(EmailTaken):
                await ask_for_change(world, bob, to=ada.email)
        with pytest.raises(TooManyAttempts):
            await ask_for_change(world, ada)
        await ask_for_change(world, ada, client="192.0.2.2")
        assert len(world.store.announced) == 31

    async def test_a_wrong_password_is_not_counted_as_asking(self, world: World) -> None:
        actor = await world.actor(await world.has())
        for _ in range(9):
            with pytest.raises(WrongPassword):
                await world.request_email_change(
                    actor, new_email=NEW, password=Password(ANOTHER_PASSWORD), client="192.0.2.1"
                )
        assert {limit for limit, *_ in world.throttle.spent} == {Limit.CONFIRM_PASSWORD}

    async def test_tells_the_address_that_is_the_old_one_by_then(self, world: World) -> None:
        ada = await world.has()
        actor = await world.actor(ada)
        token = await link_to_change(world, ada, to=Email("third@example.org"))
        world.while_a_password_is_checked(lambda: world.change_email(token))
        await world.request_email_change(actor, new_email=NEW, password=Password(PASSWORD), client="192.0.2.1")
        asked = world.store.announced[-1]
        assert isinstance(asked, EmailChangeRequested)
        assert asked.old_email == "third@example.org"

    @pytest.mark.parametrize("taken", ["bob@example.org", "BOB@example.org", "ada@example.org"])
    async def test_of_a_taken_one_is_refused(self, world: World, taken: str) -> None:
        ada = await world.has()
        await world.has("bob@example.org")
        with pytest.raises(EmailTaken):
            await ask_for_change(world, ada, to=Email(taken))
        assert world.store.announced == []


class TestTakingTheNewAddress:
    async def test_makes_it_the_verified_one_and_tells_the_old_one(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        await world.change_email(await link_to_change(world, ada))
        changed = await world.store.user(ada.id)
        assert (changed.email, changed.is_verified) == (NEW, True)
        assert world.store.announced[-1] == EmailChanged(ada.id, old_email=ada.email, new_email=NEW)
        await world.do_jobs()
        (notice,) = world.mails(Letter.EMAIL_CHANGED)
        assert (notice.to, notice.other_email) == (ada.email, NEW)

    async def test_signs_in_with_the_new_one_and_keeps_the_sessions(self, world: World) -> None:
        ada = await world.has()
        actor = await world.actor(ada)
        await world.change_email(await link_to_change(world, ada))
        await world.signed_in(await world.store.user(ada.id))
        assert await world.store.identify(actor.session_id) is not None

    async def test_works_once_for_a_day(self, world: World) -> None:
        ada = await world.has()
        token = await link_to_change(world, ada)
        await world.change_email(token)
        with pytest.raises(InvalidMailedToken):
            await world.change_email(token)
        late = await link_to_change(world, await world.store.user(ada.id), to=Email("third@example.org"))
        world.clock.advance(timedelta(hours=24))
        with pytest.raises(InvalidMailedToken):
            await world.change_email(late)

    async def test_asking_again_makes_the_former_link_worthless(self, world: World) -> None:
        ada = await world.has()
        first = await link_to_change(world, ada)
        second = await link_to_change(world, ada, to=Email("third@example.org"))
        with pytest.raises(InvalidMailedToken):
            await world.change_email(first)
        await world.change_email(second)
        assert (await world.store.user(ada.id)).email == "third@example.org"

    async def test_that_was_taken_meanwhile_is_refused_and_spends_nothing(self, world: World) -> None:
        ada = await world.has()
        token = await link_to_change(world, ada)
        bob = await world.has(NEW)
        with pytest.raises(EmailTaken):
            await world.change_email(token)
        assert (await world.store.user(ada.id)).email == ada.email
        async with world.store.begin() as work:
            await work.users.delete(bob.id)
        await world.change_email(token)

    async def test_with_a_link_for_another_purpose_is_refused(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        with pytest.raises(InvalidMailedToken):
            await world.change_email(await link_to_verify(world, ada))

    async def test_makes_links_mailed_to_the_old_one_worthless(self, world: World) -> None:
        ada = await world.has(is_verified=False)
        verify, change = await link_to_verify(world, ada), await link_to_change(world, ada)
        await world.change_email(change)
        with pytest.raises(InvalidMailedToken):
            await world.verify_email(verify)


async def test_no_address_is_asked_for_with_a_password_that_was_changed_while_it_was_checked(world: World) -> None:
    ada = await world.has()
    actor = await world.actor(ada)
    world.while_a_password_is_checked(lambda: world.change_the_password(ada))
    with pytest.raises(WrongPassword):
        await world.request_email_change(actor, new_email=NEW, password=Password(PASSWORD), client="192.0.2.1")
    await world.do_jobs()
    assert world.store.mailed_tokens == []
