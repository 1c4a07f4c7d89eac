from dataclasses import replace
from datetime import timedelta

import pytest

from application.ports.mail import Letter
from domain.errors import TooManyAttempts
from domain.events import PasswordChanged, PasswordResetRequested
from domain.mailed_tokens import InvalidMailedToken, Purpose
from domain.passwords import Password, PasswordTooCommon, WrongPassword
from domain.users import Email, InvalidCredentials, User
from tests.builders import ANOTHER_PASSWORD, PASSWORD, PHONE, World
from tests.fakes import plain_hash

LEAKED = "Letmein123"


async def link_to_reset(world: World, email: str = "ada@example.org") -> str:
    await world.forgot_password(Email(email), client="192.0.2.1")
    await world.do_jobs()
    return world.last_token()


async def link_to_change_email(world: World, user: User) -> str:
    actor = await world.actor(user)
    await world.request_email_change(
        actor, new_email=Email("new@example.org"), password=Password(PASSWORD), client="192.0.2.1"
    )
    await world.do_jobs()
    token = world.mails(Letter.CHANGE_EMAIL)[-1].token
    assert token is not None
    return token


class TestConfirming:
    async def test_takes_the_password_of_the_actor(self, world: World) -> None:
        actor = await world.actor(await world.has())
        await world.confirm_password(actor, Password(PASSWORD))
        with pytest.raises(WrongPassword):
            await world.confirm_password(actor, Password(ANOTHER_PASSWORD))

    async def test_ends_after_ten_failures_for_fifteen_minutes(self, world: World) -> None:
        actor = await world.actor(await world.has())
        for _ in range(10):
            with pytest.raises(WrongPassword):
                await world.confirm_password(actor, Password(ANOTHER_PASSWORD))
        compared = len(world.hasher.verified)
        with pytest.raises(TooManyAttempts):
            await world.confirm_password(actor, Password(PASSWORD))
        assert len(world.hasher.verified) == compared
        world.clock.advance(timedelta(minutes=15))
        await world.confirm_password(actor, Password(PASSWORD))

    async def test_counts_each_account_by_itself_whatever_its_session(self, world: World) -> None:
        ada, bob = await world.has(), await world.has("bob@example.org")
        for _ in range(10):
            with pytest.raises(WrongPassword):
                await world.confirm_password(await world.actor(ada), Password(ANOTHER_PASSWORD))
        with pytest.raises(TooManyAttempts):
            await world.confirm_password(await world.actor(ada, device=PHONE), Password(PASSWORD))
        await world.confirm_password(await world.actor(bob), Password(PASSWORD))

    async def test_does_not_succeed_once_the_allowance_was_used_up_meanwhile(self, world: World) -> None:
        actor = await world.actor(await world.has())

        async def others_guess() -> None:
            world.hasher.while_hashing = None
            for _ in range(10):
                with pytest.raises(WrongPassword):
                    await world.confirm_password(actor, Password(ANOTHER_PASSWORD))

        world.hasher.while_hashing = others_guess
        with pytest.raises(TooManyAttempts):
            await world.confirm_password(actor, Password(PASSWORD))


class TestChanging:
    async def test_takes_the_new_one_and_no_longer_the_old_one(self, world: World) -> None:
        ada = await world.has()
        await world.change_password(await world.actor(ada), current=Password(PASSWORD), new=Password(ANOTHER_PASSWORD))
        await world.signed_in(ada, password=ANOTHER_PASSWORD)
        with pytest.raises(InvalidCredentials):
            await world.signed_in(ada)

    async def test_ends_all_other_sessions_and_tells_the_owner(self, world: World) -> None:
        ada = await world.has()
        await world.signed_in(ada, device=PHONE)
        actor = await world.actor(ada)
        await world.change_password(actor, current=Password(PASSWORD), new=Password(ANOTHER_PASSWORD))
        assert [session.id for session in world.store.sessions] == [actor.session_id]
        assert world.store.announced == [PasswordChanged(ada.id, ada.email)]
        await world.do_jobs()
        assert [(mail.letter, mail.to) for mail in world.mailer.sent] == [(Letter.PASSWORD_CHANGED, ada.email)]

    @pytest.mark.parametrize(
        ("current", "new", "refusal"),
        [(ANOTHER_PASSWORD, "Different-Horse-3", WrongPassword), (PASSWORD, LEAKED, PasswordTooCommon)],
    )
    async def test_is_refused_without_a_trace(
        self, world: World, current: str, new: str, refusal: type[Exception]
    ) -> None:
        ada = await world.has()
        other = await world.actor(ada, device=PHONE)
        with pytest.raises(refusal):
            await world.change_password(await world.actor(ada), current=Password(current), new=Password(new))
        assert await world.store.user(ada.id) == ada
        assert await world.store.identify(other.session_id) is not None
        assert world.store.announced == []

    async def test_fails_if_it_was_changed_meanwhile(self, world: World) -> None:
        actor = await world.actor(ada := await world.has())
        async with world.store.begin() as work:
            await work.users.save(replace(ada, password_hash=plain_hash("Somebody-Else-9")))
        with pytest.raises(WrongPassword):
            await world.change_password(actor, current=Password(PASSWORD), new=Password(ANOTHER_PASSWORD))
        assert (await world.store.user(ada.id)).password_hash == plain_hash("Somebody-Else-9")

    async def test_kills_the_links_that_could_take_the_account_away(self, world: World) -> None:
        ada = await world.has()
        reset, change = await link_to_reset(world), await link_to_change_email(world, ada)
        await world.change_password(await world.actor(ada), current=Password(PASSWORD), new=Password(ANOTHER_PASSWORD))
        with pytest.raises(InvalidMailedToken):
            await world.reset_password(token=reset, new=Password("Different-Horse-3"))
        with pytest.raises(InvalidMailedToken):
            await world.change_email(change)


class TestForgetting:
    async def test_does_the_same_for_known_and_unknown_addresses(self, world: World) -> None:
        await world.has()
        for email in ("ada@example.org", "nobody@example.org"):
            await world.forgot_password(Email(email), client="192.0.2.1")
        assert world.store.announced == [
            PasswordResetRequested("ada@example.org"),
            PasswordResetRequested("nobody@example.org"),
        ]
        await world.do_jobs()
        assert [mail.to for mail in world.mailer.sent] == ["ada@example.org"]

    async def test_is_throttled_to_sixty_an_hour_for_each_client(self, world: World) -> None:
        for number in range(60):
            await world.forgot_password(Email(f"user{number}@example.org"), client="192.0.2.1")
        with pytest.raises(TooManyAttempts):
            await world.forgot_password(Email("ada@example.org"), client="192.0.2.1")
        assert len(world.store.announced) == 60
        await world.forgot_password(Email("ada@example.org"), client="192.0.2.2")

    async def test_mails_nothing_to_a_deactivated_account(self, world: World) -> None:
        await world.has(is_active=False)
        await world.forgot_password(Email("ada@example.org"), client="192.0.2.1")
        await world.do_jobs()
        assert world.mailer.sent == []


class TestResetting:
    async def test_sets_the_password_ends_every_session_and_tells_the_owner(self, world: World) -> None:
        ada = await world.has()
        await world.signed_in(ada)
        await world.reset_password(token=await link_to_reset(world), new=Password(ANOTHER_PASSWORD))
        assert world.store.sessions == []
        await world.signed_in(ada, password=ANOTHER_PASSWORD)
        await world.do_jobs()
        assert world.mailer.sent[-1].letter is Letter.PASSWORD_CHANGED

    async def test_works_once(self, world: World) -> None:
        await world.has()
        token = await link_to_reset(world)
        await world.reset_password(token=token, new=Password(ANOTHER_PASSWORD))
        hashed = world.hasher.hashed
        with pytest.raises(InvalidMailedToken):
            await world.reset_password(token=token, new=Password("Different-Horse-3"))
        assert world.hasher.hashed == hashed, "nothing is hashed for a link that doesn't work"

    async def test_works_for_an_hour(self, world: World) -> None:
        await world.has()
        token = await link_to_reset(world)
        world.clock.advance(timedelta(hours=1))
        with pytest.raises(InvalidMailedToken):
            await world.reset_password(token=token, new=Password(ANOTHER_PASSWORD))

    async def test_takes_the_last_link_only(self, world: World) -> None:
        await world.has()
        first, second = await link_to_reset(world), await link_to_reset(world)
        with pytest.raises(InvalidMailedToken):
            await world.reset_password(token=first, new=Password(ANOTHER_PASSWORD))
        await world.reset_password(token=second, new=Password(ANOTHER_PASSWORD))

    async def test_with_a_leaked_password_is_refused_and_the_link_still_works(self, world: World) -> None:
        await world.has()
        token = await link_to_reset(world)
        with pytest.raises(PasswordTooCommon):
            await world.reset_password(token=token, new=Password(LEAKED))
        await world.reset_password(token=token, new=Password(ANOTHER_PASSWORD))

    @pytest.mark.parametrize("token", ["", "unknown"])
    async def test_with_an_unknown_token_is_refused(self, world: World, token: str) -> None:
        with pytest.raises(InvalidMailedToken):
            await world.reset_password(token=token, new=Password(ANOTHER_PASSWORD))

    async def test_with_the_link_of_another_purpose_is_refused(self, world: World) -> None:
        ada = await world.has()
        with pytest.raises(InvalidMailedToken):
            await world.reset_password(token=await link_to_change_email(world, ada), new=Password(ANOTHER_PASSWORD))

    async def test_with_a_link_mailed_to_the_former_address_is_refused(self, world: World) -> None:
        ada = await world.has()
        reset, change = await link_to_reset(world), await link_to_change_email(world, ada)
        await world.change_email(change)
        with pytest.raises(InvalidMailedToken):
            await world.reset_password(token=reset, new=Password(ANOTHER_PASSWORD))
        assert (await world.store.user(ada.id)).password_hash == ada.password_hash

    async def test_with_a_link_used_meanwhile_is_refused(self, world: World) -> None:
        ada = await world.has()
        token = await link_to_reset(world)

        async def use_it() -> None:
            world.hasher.while_hashing = None
            await world.reset_password(token=token, new=Password("Different-Horse-3"))

        world.hasher.while_hashing = use_it
        with pytest.raises(InvalidMailedToken):
            await world.reset_password(token=token, new=Password(ANOTHER_PASSWORD))
        assert (await world.store.user(ada.id)).password_hash == plain_hash("Different-Horse-3")

    async def test_kills_a_change_of_address_that_is_under_way(self, world: World) -> None:
        ada = await world.has()
        change = await link_to_change_email(world, ada)
        await world.reset_password(token=await link_to_reset(world), new=Password(ANOTHER_PASSWORD))
        with pytest.raises(InvalidMailedToken):
            await world.change_email(change)

    async def test_looking_at_the_link_spends_nothing(self, world: World) -> None:
        await world.has()
        token = await link_to_reset(world)
        for _ in range(2):
            await world.check_mailed_token(token, Purpose.RESET_PASSWORD)
        for wrong, purpose in (("unknown", Purpose.RESET_PASSWORD), (token, Purpose.VERIFY_EMAIL)):
            with pytest.raises(InvalidMailedToken):
                await world.check_mailed_token(wrong, purpose)
        await world.reset_password(token=token, new=Password(ANOTHER_PASSWORD))
        with pytest.raises(InvalidMailedToken):
            await world.check_mailed_token(token, Purpose.RESET_PASSWORD)
