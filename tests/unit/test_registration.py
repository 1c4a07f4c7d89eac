import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from application.users import (
    CreateSuperuser,
    RegisterUser,
)
from domain.errors import TooManyAttempts
from domain.events import UserRegistered
from domain.passwords import Password, PasswordTooCommon
from domain.users import (
    Email,
    EmailTaken,
    RegistrationClosed,
    User,
)
from tests.builders import ANOTHER_PASSWORD, PASSWORD, World
from tests.fakes import plain_hash


async def register(world: World, email: str = "ada@example.org", *, client: str = "192.0.2.1") -> User:
    return await world.register(email=Email(email), password=Password(PASSWORD), full_name="Ada", client=client)


class TestRegistration:
    async def test_opens_an_unverified_account_that_can_sign_in(self, world: World) -> None:
        user = await register(world)
        assert (user.email, user.full_name, user.id > 0) == ("ada@example.org", "Ada", True)
        assert (user.is_active, user.is_verified, user.is_superuser) == (True, False, False)
        assert user.created_at == user.updated_at == world.clock.now()
        assert (await world.actor(user)).user == user

    async def test_keeps_a_hash_and_never_the_password(self, world: World) -> None:
        user = await register(world)
        assert user.password_hash == plain_hash(PASSWORD)

    async def test_announces_the_user_in_the_same_transaction(self, world: World) -> None:
        user = await register(world)
        assert world.store.announced == [UserRegistered(user.id)]

    async def test_under_what_is_no_name_is_refused_without_any_work(self, world: World) -> None:
        with pytest.raises(ValueError, match="A name must be"):
            await world.register(
                email=Email("ada@example.org"), password=Password(PASSWORD), full_name=" ", client="192.0.2.1"
            )
        assert await world.store.user_by_email(Email("ada@example.org")) is None
        assert (world.hasher.hashed, world.throttle.spent) == (0, {})

    async def test_is_refused_while_it_is_closed_without_any_work(self, world: World) -> None:
        closed = RegisterUser(
            world.store.begin, world.hash_new_password, world.throttle, world.clock, registration_open=False
        )
        with pytest.raises(RegistrationClosed):
            await closed(email=Email("ada@example.org"), password=Password(PASSWORD), full_name=None, client="c")
        assert await world.store.user_by_email(Email("ada@example.org")) is None
        assert (world.hasher.hashed, world.throttle.spent) == (0, {})

    @pytest.mark.parametrize(
        ("taken", "other"),
        [
            ("ada@example.org", "ADA@Example.Org"),
            ("ada@münchen.de", "ada@xn--mnchen-3ya.de"),
            ("jürgen@example.org", "ju\u0308rgen@example.org"),
        ],
    )
    async def test_of_a_taken_address_is_refused_in_any_spelling(self, world: World, taken: str, other: str) -> None:
        await register(world, taken)
        with pytest.raises(EmailTaken):
            await register(world, other)
        assert len(world.store.announced) == 1

    async def test_of_one_address_fifty_times_at_once_makes_one_account_and_one_mail(self, world: World) -> None:
        results = await asyncio.gather(*(register(world) for _ in range(50)), return_exceptions=True)
        assert sum(isinstance(result, User) for result in results) == 1
        assert sum(isinstance(result, EmailTaken) for result in results) == 49
        await world.do_jobs()
        assert len(world.mailer.sent) == 1

    async def test_with_a_leaked_password_is_refused_in_any_case(self, world: World) -> None:
        with pytest.raises(PasswordTooCommon):
            await world.register(
                email=Email("ada@example.org"), password=Password("PassWord1"), full_name=None, client="c"
            )
        assert await world.store.user_by_email(Email("ada@example.org")) is None

    async def test_is_throttled_to_sixty_an_hour_for_each_address(self, world: World) -> None:
        for number in range(60):
            await register(world, f"user{number}@example.org")
        with pytest.raises(TooManyAttempts) as refused:
            await register(world, "one-more@example.org")
        assert refused.value.retry_after == 3600
        await register(world, "elsewhere@example.org", client="192.0.2.9")
        world.clock.advance(timedelta(hours=1))
        await register(world, "one-more@example.org")


class TestCreatingASuperuser:
    async def create(self, world: World, email: str = "root@example.org", *, password: str | None = PASSWORD) -> User:
        create = CreateSuperuser(world.store.begin, world.hash_new_password, world.clock)
        return await create(email=Email(email), password=Password(password) if password else None)

    async def test_opens_a_verified_account(self, world: World) -> None:
        user = await self.create(world)
        assert user.administers
        assert user.is_verified
        assert user.created_at == user.updated_at == world.clock.now()
        assert (await world.actor(user)).user == user

    async def test_of_a_new_account_needs_a_password(self, world: World) -> None:
        with pytest.raises(ValueError, match=r"^a new account needs a password$"):
            await self.create(world, password=None)
        assert await world.store.user_by_email(Email("root@example.org")) is None

    async def test_promotes_and_reactivates_an_account_and_leaves_its_password(self, world: World) -> None:
        actor = await world.actor(user := await world.has())
        async with world.store.begin() as work:
            await work.users.save(replace(user, is_active=False))
        promoted = await self.create(world, "ADA@example.org", password=None)
        assert promoted.id == user.id
        assert promoted.administers
        assert promoted.password_hash == user.password_hash
        assert await world.store.identify(actor.session_id) is not None

    async def test_with_a_password_sets_it_and_ends_the_sessions(self, world: World) -> None:
        actor = await world.actor(user := await world.has())
        promoted = await self.create(world, user.email, password=ANOTHER_PASSWORD)
        assert await world.store.identify(actor.session_id) is None
        await world.actor(promoted, password=ANOTHER_PASSWORD)

    async def test_with_a_leaked_password_is_refused(self, world: World) -> None:
        with pytest.raises(PasswordTooCommon):
            await self.create(world, password="Letmein123")
