import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from application.ports.mail import Letter
from application.users import (
    DeleteUser,
    GetUser,
    ListUsers,
    PingUser,
    RenameUser,
    UpdateUser,
)
from domain.events import UserPinged, VerificationRequested
from domain.mailed_tokens import InvalidMailedToken
from domain.pages import PageRequest
from domain.passwords import Password, WrongPassword
from domain.sessions import InvalidAccessToken
from domain.users import (
    Actor,
    Email,
    EmailTaken,
    LastSuperuser,
    NotEnoughPrivileges,
    User,
    UserChange,
    UserNotFound,
)
from tests.builders import ANOTHER_PASSWORD, PASSWORD, World


async def register(world: World, email: str = "ada@example.org", *, client: str = "192.0.2.1") -> User:
    return await world.register(email=Email(email), password=Password(PASSWORD), full_name="Ada", client=client)


async def a_superuser(world: World, email: str = "root@example.org") -> Actor:
    return Actor(await world.has(email, is_superuser=True), "a session")


class TestLookingUp:
    async def test_oneself_is_allowed_and_anybody_to_a_superuser(self, world: World) -> None:
        ada = await world.has()
        get = GetUser(world.store)
        assert await get(Actor(ada, "s"), ada.id) == ada
        assert await get(await a_superuser(world), ada.id) == ada

    async def test_others_is_refused_whether_they_exist_or_not(self, world: World) -> None:
        ada, bob = await world.has(), await world.has("bob@example.org")
        for user_id in (bob.id, 4711):
            with pytest.raises(NotEnoughPrivileges):
                await GetUser(world.store)(Actor(ada, "s"), user_id)

    async def test_nobody_tells_a_superuser_so(self, world: World) -> None:
        with pytest.raises(UserNotFound):
            await GetUser(world.store)(await a_superuser(world), 4711)

    async def test_the_list_is_for_superusers(self, world: World) -> None:
        with pytest.raises(NotEnoughPrivileges):
            await ListUsers(world.store)(Actor(await world.has(), "s"), PageRequest(), q=None, is_active=None)

    async def test_the_list_is_newest_first_and_searched_by_words(self, world: World) -> None:
        ada = await world.has("ada@example.org", full_name="Ada Lovelace")
        gone = await world.has("ada@example.com", full_name="Ada Byron", is_active=False)
        root = await a_superuser(world)
        listed = ListUsers(world.store)

        async def ids(q: str | None, is_active: bool | None = None) -> list[int]:
            return [user.id for user in (await listed(root, PageRequest(), q=q, is_active=is_active)).items]

        assert await ids(None) == [root.user.id, gone.id, ada.id]
        assert await ids("ADA") == [gone.id, ada.id]
        assert await ids("love EXAMPLE.org") == [ada.id]
        assert await ids("ada", is_active=False) == [gone.id]
        assert await ids("%") == []


class TestChanging:
    async def update(self, world: World, actor: Actor, user: User, change: UserChange) -> User:
        return await UpdateUser(world.store.begin)(actor, user.id, change)

    async def test_ones_own_name_changes_nothing_else(self, world: World) -> None:
        user = await world.has(full_name="Ada")
        renamed = await RenameUser(world.store.begin)(Actor(user, "s"), full_name="Countess")
        assert renamed == replace(user, full_name="Countess", updated_at=world.clock.now())
        assert await world.store.user(user.id) == renamed

    async def test_others_is_for_superusers(self, world: World) -> None:
        ada = await world.has()
        for change in (UserChange(is_superuser=True), UserChange(is_active=True)):
            with pytest.raises(NotEnoughPrivileges):
                await self.update(world, Actor(ada, "s"), ada, change)
        assert await world.store.user(ada.id) == ada

    async def test_nobody_is_refused(self, world: World) -> None:
        with pytest.raises(UserNotFound):
            await UpdateUser(world.store.begin)(await a_superuser(world), 4711, UserChange(is_active=False))

    async def test_nothing_leaves_everything_as_it_is(self, world: World) -> None:
        ada = await world.has(full_name="Ada")
        unchanged = await self.update(world, await a_superuser(world), ada, UserChange())
        assert unchanged == replace(ada, updated_at=world.clock.now())
        assert world.store.announced == []

    async def test_a_name_can_be_set_and_taken_away(self, world: World) -> None:
        ada, root = await world.has(), await a_superuser(world)
        assert (await self.update(world, root, ada, UserChange(rename=True, full_name="A"))).full_name == "A"
        assert (await self.update(world, root, ada, UserChange(full_name="ignored"))).full_name == "A"
        assert (await self.update(world, root, ada, UserChange(rename=True))).full_name is None

    async def test_an_address_makes_it_unverified_and_mails_the_new_one(self, world: World) -> None:
        ada = await world.has()
        changed = await self.update(world, await a_superuser(world), ada, UserChange(email=Email("new@example.org")))
        assert (changed.email, changed.is_verified) == ("new@example.org", False)
        assert world.store.announced == [VerificationRequested("new@example.org")]
        await world.do_jobs()
        assert [mail.to for mail in world.mailer.sent] == ["new@example.org"]

    @pytest.mark.parametrize(
        "change", [UserChange(email=Email("back@example.org")), UserChange(is_active=False)], ids=["address", "state"]
    )
    async def test_an_address_or_deactivating_kills_a_link_that_could_take_the_account_away(
        self, world: World, change: UserChange
    ) -> None:
        ada = await world.has()
        await world.request_email_change(
            await world.actor(ada), new_email=Email("eve@example.org"), password=Password(PASSWORD), client="192.0.2.1"
        )
        await world.do_jobs()
        (link,) = world.mails(Letter.CHANGE_EMAIL)
        root = await a_superuser(world)
        await self.update(world, root, ada, change)
        await self.update(world, root, ada, UserChange(is_active=True))
        with pytest.raises(InvalidMailedToken):
            await world.change_email(link.token or "")

    async def test_another_change_leaves_the_link_to_another_address_alone(self, world: World) -> None:
        ada = await world.has()
        await world.request_email_change(
            await world.actor(ada), new_email=Email("new@example.org"), password=Password(PASSWORD), client="192.0.2.1"
        )
        await world.do_jobs()
        await self.update(world, await a_superuser(world), ada, UserChange(is_superuser=True, email=ada.email))
        await world.change_email(world.mails(Letter.CHANGE_EMAIL)[0].token or "")
        assert (await world.store.user(ada.id)).email == "new@example.org"

    async def test_to_a_taken_address_is_refused_and_undone(self, world: World) -> None:
        ada, bob = await world.has(), await world.has("bob@example.org")
        change = UserChange(email=Email("BOB@example.org"), is_active=False)
        with pytest.raises(EmailTaken):
            await self.update(world, await a_superuser(world), ada, change)
        assert await world.store.user(ada.id) == ada
        assert await world.store.user(bob.id) == bob
        assert world.store.announced == []

    async def test_the_last_active_superuser_can_neither_be_deactivated_nor_demoted(self, world: World) -> None:
        root = await a_superuser(world)
        await world.has("former@example.org", is_superuser=True, is_active=False)
        for change in (UserChange(is_active=False), UserChange(is_superuser=False)):
            with pytest.raises(LastSuperuser):
                await self.update(world, root, root.user, change)
        assert (await world.store.user(root.user.id)).administers

    async def test_the_last_superuser_can_be_changed_otherwise(self, world: World) -> None:
        root = await a_superuser(world)
        change = UserChange(email=Email("boss@example.org"), is_active=True, is_superuser=True)
        assert (await self.update(world, root, root.user, change)).email == "boss@example.org"

    async def test_two_superusers_who_demote_each_other_at_once_leave_one(self, world: World) -> None:
        one, two = await a_superuser(world), await a_superuser(world, "two@example.org")
        demoted = UserChange(is_superuser=False)
        results = await asyncio.gather(
            self.update(world, one, two.user, demoted),
            self.update(world, two, one.user, demoted),
            return_exceptions=True,
        )
        assert [type(result) for result in results if isinstance(result, Exception)] == [LastSuperuser]

    async def test_deactivation_shows_at_once_and_can_be_taken_back(self, world: World) -> None:
        pair = await world.signed_in(ada := await world.has())
        root = await a_superuser(world)
        await self.update(world, root, ada, UserChange(is_active=False))
        assert not (await world.store.user(ada.id)).is_active
        await self.update(world, root, ada, UserChange(is_active=True))
        assert (await world.authenticate(pair.access_token)).user.is_active


class TestDeleting:
    async def test_removes_the_user_with_all_that_is_theirs(self, world: World) -> None:
        ada = await register(world)
        await world.do_jobs()
        await world.actor(ada)
        await DeleteUser(world.store.begin)(await a_superuser(world), ada.id)
        with pytest.raises(UserNotFound):
            await world.store.user(ada.id)
        assert (world.store.sessions, world.store.refresh_tokens, world.store.mailed_tokens) == ([], [], [])

    async def test_is_for_superusers(self, world: World) -> None:
        ada = await world.has()
        with pytest.raises(NotEnoughPrivileges):
            await DeleteUser(world.store.begin)(Actor(ada, "s"), ada.id)

    async def test_nobody_is_refused(self, world: World) -> None:
        with pytest.raises(UserNotFound):
            await DeleteUser(world.store.begin)(await a_superuser(world), 4711)

    async def test_the_last_active_superuser_is_refused_both_ways(self, world: World) -> None:
        root = await a_superuser(world)
        await world.has("former@example.org", is_superuser=True, is_active=False)
        with pytest.raises(LastSuperuser):
            await DeleteUser(world.store.begin)(root, root.user.id)
        with pytest.raises(LastSuperuser):
            await world.delete_own_account(root, password=Password(PASSWORD))
        assert (await world.store.user(root.user.id)).administers

    async def test_one_of_two_superusers_is_allowed(self, world: World) -> None:
        one, two = await a_superuser(world), await a_superuser(world, "two@example.org")
        await DeleteUser(world.store.begin)(one, two.user.id)
        with pytest.raises(UserNotFound):
            await world.store.user(two.user.id)

    async def test_ones_own_account_takes_the_password(self, world: World) -> None:
        actor = await world.actor(await world.has())
        with pytest.raises(WrongPassword):
            await world.delete_own_account(actor, password=Password(ANOTHER_PASSWORD))
        await world.delete_own_account(actor, password=Password(PASSWORD))
        assert await world.store.identify(actor.session_id) is None

    async def test_frees_the_address_for_another_account(self, world: World) -> None:
        ada = await world.has()
        await world.delete_own_account(Actor(ada, "s"), password=Password(PASSWORD))
        assert (await register(world)).id != ada.id


class TestOnesOwnAccountThatWasDeletedMeanwhile:
    @pytest.mark.parametrize(
        "do",
        [
            lambda world, actor: RenameUser(world.store.begin)(actor, full_name="Countess"),
            lambda world, actor: world.delete_own_account(actor, password=Password(PASSWORD)),
            lambda world, actor: world.change_password(
                actor, current=Password(PASSWORD), new=Password(ANOTHER_PASSWORD)
            ),
            lambda world, actor: world.request_email_change(
                actor, new_email=Email("new@example.org"), password=Password(PASSWORD), client="192.0.2.1"
            ),
        ],
        ids=["rename", "delete", "change the password", "ask for another address"],
    )
    async def test_is_told_as_by_the_next_request(
        self, world: World, do: Callable[[World, Actor], Awaitable[Any]]
    ) -> None:
        actor = await world.actor(await world.has())
        await DeleteUser(world.store.begin)(await a_superuser(world), actor.user.id)
        announced = list(world.store.announced)
        with pytest.raises(InvalidAccessToken):
            await do(world, actor)
        assert world.store.announced == announced


class TestPinging:
    async def test_is_noted_in_the_background(self, world: World) -> None:
        ada = await world.has()
        await PingUser(world.store.begin, world.store, world.clock)(Actor(ada, "s"), ada.id)
        assert world.store.announced == [UserPinged(ada.id, at=world.clock.now().isoformat())]
        assert (await world.store.user(ada.id)).last_active is None
        pinged_at = world.clock.now()
        world.clock.advance(timedelta(minutes=1))
        await world.do_jobs()
        assert (await world.store.user(ada.id)).last_active == pinged_at

    async def test_is_written_once_a_minute(self, world: World) -> None:
        ada = await world.has(last_active=world.clock.now())
        ping = PingUser(world.store.begin, world.store, world.clock)
        for later in (59, 1):
            world.clock.advance(timedelta(seconds=later))
            await ping(Actor(await world.store.user(ada.id), "s"), ada.id)
        assert world.store.announced == [UserPinged(ada.id, at=world.clock.now().isoformat())]

    async def test_a_late_ping_never_puts_it_back(self, world: World) -> None:
        now = world.clock.now()
        ada = await world.has(last_active=now)
        async with world.store.begin() as work:
            work.announce(UserPinged(ada.id, at=(now - timedelta(minutes=5)).isoformat()))
        await world.do_jobs()
        assert (await world.store.user(ada.id)).last_active == now

    async def test_of_a_user_who_is_gone_by_then_is_no_error(self, world: World) -> None:
        async with world.store.begin() as work:
            work.announce(UserPinged(4711, at=world.clock.now().isoformat()))
        await world.do_jobs()
        assert world.outcomes == [("record_activity", "done")]

    async def test_others_is_for_superusers(self, world: World) -> None:
        ada, bob = await world.has(), await world.has("bob@example.org")
        ping = PingUser(world.store.begin, world.store, world.clock)
        for user_id in (bob.id, 4711):
            with pytest.raises(NotEnoughPrivileges):
                await ping(Actor(ada, "s"), user_id)
        root = await a_superuser(world)
        await ping(root, bob.id)
        with pytest.raises(UserNotFound):
            await ping(root, 4711)
        assert [event.user_id for event in world.store.announced if isinstance(event, UserPinged)] == [bob.id]


async def test_no_account_is_deleted_with_a_password_that_was_changed_while_it_was_checked(world: World) -> None:
    ada = await world.has()
    actor = await world.actor(ada)
    world.while_a_password_is_checked(lambda: world.change_the_password(ada))
    with pytest.raises(WrongPassword):
        await world.delete_own_account(actor, password=Password(PASSWORD))
    assert (await world.store.user(ada.id)).email == ada.email
