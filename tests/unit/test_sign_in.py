import asyncio
from dataclasses import replace

import pytest

from domain.passwords import Password
from domain.users import InactiveUser, InvalidCredentials, User
from tests.builders import ANOTHER_PASSWORD, LAPTOP, PASSWORD, PHONE, SESSION_LIFETIME, World
from tests.fakes import plain_hash


async def deactivate(world: World, user: User) -> None:
    async with world.store.begin() as work:
        await work.users.save(replace(user, is_active=False))


class TestSigningIn:
    async def test_opens_a_session_on_that_device(self, world: World) -> None:
        ada = await world.has()
        pair = await world.signed_in(ada, device=PHONE)
        (session,) = world.store.sessions
        assert (session.user_id, session.ip, session.user_agent) == (ada.id, PHONE.ip, PHONE.user_agent)
        assert session.created_at == session.last_used_at == world.clock.now()
        assert session.expires_at == world.clock.now() + SESSION_LIFETIME
        assert pair.expires_in == world.tokens.lifetime_seconds
        assert await world.store.identify(world.tokens.verify(pair.access_token).session_id) is not None

    async def test_keeps_the_refresh_token_as_a_hash_only(self, world: World) -> None:
        pair = await world.signed_in(await world.has())
        (token,) = world.store.refresh_tokens
        assert token.token_hash == world.secrets.hash(pair.refresh_token) != pair.refresh_token
        assert token.expires_at == world.clock.now() + SESSION_LIFETIME

    async def test_twice_opens_two_sessions(self, world: World) -> None:
        ada = await world.has()
        assert (await world.actor(ada)).session_id != (await world.actor(ada)).session_id

    @pytest.mark.parametrize("email", ["ADA@Example.org", " ada@example.org "])
    async def test_takes_any_spelling_of_the_address(self, world: World, email: str) -> None:
        await world.has()
        await world.sign_in(email=email, password=Password(PASSWORD), device=LAPTOP)

    @pytest.mark.parametrize(
        ("email", "password"),
        [
            ("ada@example.org", ANOTHER_PASSWORD),
            ("ada@example.org", PASSWORD.upper()),
            ("ada@example.org", PASSWORD + " "),
            ("nobody@example.org", PASSWORD),
            ("no address", PASSWORD),
            ("", ""),
        ],
    )
    async def test_compares_one_password_whatever_is_wrong(self, world: World, email: str, password: str) -> None:
        ada = await world.has()
        with pytest.raises(InvalidCredentials):
            await world.sign_in(email=email, password=Password(password), device=LAPTOP)
        assert world.hasher.verified == [ada.password_hash if email == ada.email else None]
        assert world.store.sessions == []

    async def test_tells_of_deactivation_only_one_who_knows_the_password(self, world: World) -> None:
        ada = await world.has(is_active=False)
        with pytest.raises(InvalidCredentials):
            await world.signed_in(ada, password=ANOTHER_PASSWORD)
        with pytest.raises(InactiveUser):
            await world.signed_in(ada)
        assert world.store.sessions == []

    async def test_fails_if_the_password_is_changed_meanwhile(self, world: World) -> None:
        ada = await world.has()

        async def change() -> None:
            world.hasher.while_hashing = None
            async with world.store.begin() as work:
                await work.users.save(replace(ada, password_hash=plain_hash(ANOTHER_PASSWORD)))

        world.hasher.while_hashing = change
        with pytest.raises(InvalidCredentials):
            await world.signed_in(ada)
        assert world.store.sessions == []

    async def test_fails_if_the_account_is_deleted_meanwhile(self, world: World) -> None:
        ada = await world.has()

        async def delete() -> None:
            world.hasher.while_hashing = None
            async with world.store.begin() as work:
                await work.users.delete(ada.id)

        world.hasher.while_hashing = delete
        with pytest.raises(InvalidCredentials):
            await world.signed_in(ada)

    async def test_fails_if_the_account_is_deactivated_meanwhile(self, world: World) -> None:
        ada = await world.has()

        async def deactivate_now() -> None:
            world.hasher.while_hashing = None
            await deactivate(world, ada)

        world.hasher.while_hashing = deactivate_now
        with pytest.raises(InactiveUser):
            await world.signed_in(ada)
        assert world.store.sessions == []

    async def test_gives_up_if_the_account_changes_again_and_again(self, world: World) -> None:
        ada = await world.has()
        schemes = iter(["old:", "plain:", "plain:"])

        async def change() -> None:
            async with world.store.begin() as work:
                await work.users.save(replace(ada, password_hash=plain_hash(PASSWORD, scheme=next(schemes))))

        world.hasher.while_hashing = change
        with pytest.raises(InvalidCredentials):
            await world.signed_in(ada)
        assert world.store.sessions == []

    async def test_makes_an_outdated_hash_anew(self, world: World) -> None:
        ada = await world.has(password_hash=plain_hash(PASSWORD, scheme="old:"))
        await world.actor(ada)
        assert (await world.store.user(ada.id)).password_hash == plain_hash(PASSWORD)

    async def test_leaves_a_current_hash_alone(self, world: World) -> None:
        await world.actor(await world.has())
        assert world.hasher.hashed == 0

    async def test_with_an_outdated_hash_works_in_many_tabs_at_once(self, world: World) -> None:
        ada = await world.has(password_hash=plain_hash(PASSWORD, scheme="old:"))
        await asyncio.gather(*(world.signed_in(ada) for _ in range(8)))
        assert len(world.store.sessions) == 8


async def test_signing_in_takes_every_spelling_of_a_domain(world: World) -> None:
    ada = await world.has("ada@münchen.de")
    await world.sign_in(email="ADA@xn--mnchen-3ya.de", password=Password(PASSWORD), device=LAPTOP)
    assert world.store.sessions[0].user_id == ada.id
