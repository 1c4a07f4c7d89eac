import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from application.sessions import ListSessions, RevokeOtherSessions, RevokeSession
from domain.passwords import Password
from domain.sessions import InvalidAccessToken, InvalidRefreshToken, RefreshTokenReused, SessionNotFound
from domain.users import InactiveUser, User
from tests.builders import ANOTHER_PASSWORD, LAPTOP, PASSWORD, PHONE, SESSION_LIFETIME, World


async def deactivate(world: World, user: User) -> None:
    async with world.store.begin() as work:
        await work.users.save(replace(user, is_active=False))


class TestAuthenticating:
    async def test_tells_who_is_behind_a_token(self, world: World) -> None:
        ada = await world.has()
        actor = await world.actor(ada)
        assert actor.user == ada
        assert actor.session_id == world.store.sessions[0].id

    @pytest.mark.parametrize("token", ["", "no token", "access 1 id-1 soon"])
    async def test_refuses_what_is_no_token(self, world: World, token: str) -> None:
        with pytest.raises(InvalidAccessToken):
            await world.authenticate(token)

    async def test_refuses_a_token_that_has_expired(self, world: World) -> None:
        pair = await world.signed_in(await world.has())
        world.clock.advance(timedelta(seconds=pair.expires_in))
        with pytest.raises(InvalidAccessToken):
            await world.authenticate(pair.access_token)

    async def test_refuses_a_session_that_has_expired(self, world: World) -> None:
        ada = await world.has()
        actor = await world.actor(ada)
        world.clock.advance(SESSION_LIFETIME)
        with pytest.raises(InvalidAccessToken):
            await world.authenticate(world.tokens.issue(ada.id, actor.session_id))

    async def test_refuses_a_token_that_names_another_users_session(self, world: World) -> None:
        ada, bob = await world.has(), await world.has("bob@example.org")
        actor = await world.actor(ada)
        with pytest.raises(InvalidAccessToken):
            await world.authenticate(world.tokens.issue(bob.id, actor.session_id))

    async def test_refuses_a_revoked_session_at_once(self, world: World) -> None:
        pair = await world.signed_in(await world.has())
        actor = await world.authenticate(pair.access_token)
        await RevokeSession(world.store.begin)(actor, actor.session_id)
        with pytest.raises(InvalidAccessToken):
            await world.authenticate(pair.access_token)

    async def test_refuses_a_deactivated_and_a_deleted_user_at_once(self, world: World) -> None:
        ada = await world.has()
        pair = await world.signed_in(ada)
        await deactivate(world, ada)
        with pytest.raises(InactiveUser):
            await world.authenticate(pair.access_token)
        async with world.store.begin() as work:
            await work.users.delete(ada.id)
        with pytest.raises(InvalidAccessToken):
            await world.authenticate(pair.access_token)

    async def test_refuses_the_other_sessions_once_the_password_is_changed(self, world: World) -> None:
        ada = await world.has()
        other = await world.signed_in(ada, device=PHONE)
        actor = await world.actor(ada)
        await world.change_password(actor, current=Password(PASSWORD), new=Password(ANOTHER_PASSWORD))
        with pytest.raises(InvalidAccessToken):
            await world.authenticate(other.access_token)


class TestRefreshing:
    async def test_gives_a_new_pair_of_the_same_session_and_prolongs_it(self, world: World) -> None:
        first = await world.signed_in(await world.has())
        session_id = (await world.authenticate(first.access_token)).session_id
        world.clock.advance(timedelta(days=29))
        second = await world.refresh(first.refresh_token)
        assert second.refresh_token != first.refresh_token
        assert (await world.authenticate(second.access_token)).session_id == session_id
        (session,) = world.store.sessions
        assert session.last_used_at == world.clock.now()
        assert session.expires_at == world.clock.now() + SESSION_LIFETIME

    async def test_can_go_on_for_ever(self, world: World) -> None:
        pair = await world.signed_in(await world.has())
        for _ in range(10):
            world.clock.advance(SESSION_LIFETIME - timedelta(seconds=1))
            pair = await world.refresh(pair.refresh_token)
        assert len(world.store.sessions) == 1

    async def test_with_an_unknown_token_is_refused(self, world: World) -> None:
        pair = await world.signed_in(await world.has())
        for token in ("", "unknown", pair.access_token):
            with pytest.raises(InvalidRefreshToken):
                await world.refresh(token)

    async def test_with_an_expired_token_is_refused(self, world: World) -> None:
        pair = await world.signed_in(await world.has())
        world.clock.advance(SESSION_LIFETIME)
        with pytest.raises(InvalidRefreshToken):
            await world.refresh(pair.refresh_token)

    async def test_with_a_revoked_sessions_token_is_refused(self, world: World) -> None:
        pair = await world.signed_in(await world.has())
        actor = await world.authenticate(pair.access_token)
        await RevokeSession(world.store.begin)(actor, actor.session_id)
        with pytest.raises(InvalidRefreshToken):
            await world.refresh(pair.refresh_token)

    async def test_of_a_deactivated_user_is_refused_and_spends_nothing(self, world: World) -> None:
        ada = await world.has()
        pair = await world.signed_in(ada)
        await deactivate(world, ada)
        with pytest.raises(InactiveUser):
            await world.refresh(pair.refresh_token)
        assert [token.spent_at for token in world.store.refresh_tokens] == [None]

    async def test_again_within_ten_seconds_gives_another_valid_pair_of_the_session(self, world: World) -> None:
        first = await world.signed_in(await world.has())
        one = await world.refresh(first.refresh_token)
        world.clock.advance(timedelta(seconds=10))
        two = await world.refresh(first.refresh_token)
        actors = [await world.authenticate(pair.access_token) for pair in (first, one, two)]
        assert len({actor.session_id for actor in actors}) == 1
        for pair in (one, two):
            await world.refresh(pair.refresh_token)

    async def test_again_later_revokes_the_session_for_everybody_who_holds_it(self, world: World) -> None:
        first = await world.signed_in(await world.has())
        second = await world.refresh(first.refresh_token)
        world.clock.advance(timedelta(seconds=11))
        with pytest.raises(RefreshTokenReused):
            await world.refresh(first.refresh_token)
        for pair in (first, second):
            with pytest.raises(InvalidRefreshToken):
                await world.refresh(pair.refresh_token)
            with pytest.raises(InvalidAccessToken):
                await world.authenticate(pair.access_token)
        assert (world.store.sessions, world.store.refresh_tokens) == ([], [])

    async def test_again_later_leaves_the_other_sessions_alone(self, world: World) -> None:
        ada = await world.has()
        other = await world.signed_in(ada, device=PHONE)
        first = await world.signed_in(ada)
        await world.refresh(first.refresh_token)
        world.clock.advance(timedelta(seconds=11))
        with pytest.raises(RefreshTokenReused):
            await world.refresh(first.refresh_token)
        await world.authenticate(other.access_token)

    async def test_twenty_times_at_once_signs_nobody_out_and_keeps_one_session(self, world: World) -> None:
        first = await world.signed_in(await world.has())
        pairs = await asyncio.gather(*(world.refresh(first.refresh_token) for _ in range(20)))
        assert len({pair.refresh_token for pair in pairs}) == 20
        assert len({(await world.authenticate(pair.access_token)).session_id for pair in pairs}) == 1
        assert len(world.store.sessions) == 1


class TestLookingAfterSessions:
    async def test_lists_ones_own_live_ones_last_used_first(self, world: World) -> None:
        ada, bob = await world.has(), await world.has("bob@example.org")
        await world.actor(bob)
        await world.actor(ada)
        world.clock.advance(SESSION_LIFETIME - timedelta(days=1))
        pair = await world.signed_in(ada)
        world.clock.advance(timedelta(days=1))
        newest = await world.actor(ada, device=PHONE)
        world.clock.advance(timedelta(minutes=1))
        await world.refresh(pair.refresh_token)
        assert [session.ip for session in await ListSessions(world.store)(newest)] == [LAPTOP.ip, PHONE.ip]

    async def test_signs_one_out(self, world: World) -> None:
        ada = await world.has()
        actor, other = await world.actor(ada), await world.actor(ada)
        await RevokeSession(world.store.begin)(actor, other.session_id)
        assert [session.id for session in world.store.sessions] == [actor.session_id]

    async def test_another_users_session_is_as_unknown_as_none(self, world: World) -> None:
        actor = await world.actor(await world.has())
        other = await world.actor(await world.has("bob@example.org"))
        for session_id in (other.session_id, "unknown"):
            with pytest.raises(SessionNotFound):
                await RevokeSession(world.store.begin)(actor, session_id)
        assert len(world.store.sessions) == 2

    async def test_signs_all_others_out(self, world: World) -> None:
        ada = await world.has()
        actor = await world.actor(ada)
        await world.actor(ada)
        await world.actor(ada)
        bob = await world.actor(await world.has("bob@example.org"))
        await RevokeOtherSessions(world.store.begin)(actor)
        assert [session.id for session in world.store.sessions] == [actor.session_id, bob.session_id]
