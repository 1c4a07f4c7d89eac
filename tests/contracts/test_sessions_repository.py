"""What `application.ports.persistence.Sessions` promises, of every implementation."""

import asyncio
from datetime import timedelta

from tests.contracts.stores import Store


async def test_a_session_comes_back_as_it_was_stored(store: Store) -> None:
    user = await store.has()
    session = await store.has_session(user, user_agent="Ün/1.0", ip="2001:db8::1")
    async with store.begin() as work:
        token = store.a_refresh_token(session)
        await work.sessions.add_refresh_token(token)

    async with store.begin() as work:
        assert await work.sessions.find_by_refresh_token(token.token_hash) == (session, token)


async def test_a_device_may_say_nothing_of_itself(store: Store) -> None:
    session = await store.has_session(await store.has(), user_agent=None, ip=None)
    async with store.begin() as work:
        await work.sessions.add_refresh_token(store.a_refresh_token(session))

    async with store.begin() as work:
        assert await work.sessions.find_by_refresh_token("hash-1") == (session, store.a_refresh_token(session))


async def test_a_token_that_nobody_issued_is_not_found(store: Store) -> None:
    async with store.begin() as work:
        assert await work.sessions.find_by_refresh_token("unheard-of") is None


async def test_a_renewed_session_keeps_its_new_times(store: Store) -> None:
    user = await store.has()
    session = await store.has_session(user)
    later = store.clock.now() + timedelta(hours=1, microseconds=1)
    session.renew(now=later, lifetime=timedelta(days=30))
    async with store.begin() as work:
        await work.sessions.save(session)

    identified = await store.reads.identify(session.id)

    assert identified is not None
    assert identified[1] == session.expires_at == later + timedelta(days=30)


async def test_saving_a_session_that_was_revoked_does_not_bring_it_back(store: Store) -> None:
    user = await store.has()
    session = await store.has_session(user)
    async with store.begin() as work:
        await work.sessions.revoke(session.id, user.id)
        await work.sessions.save(session)

    assert await store.reads.identify(session.id) is None


async def test_a_spent_token_stays_spent(store: Store) -> None:
    session = await store.has_session(await store.has())
    token = store.a_refresh_token(session)
    async with store.begin() as work:
        await work.sessions.add_refresh_token(token)
        token.spend(store.clock.now())
        await work.sessions.mark_spent(token)

    async with store.begin() as work:
        assert await work.sessions.find_by_refresh_token(token.token_hash) == (session, token)
    assert token.spent_at == store.clock.now()


async def test_spending_a_token_that_is_gone_is_no_error(store: Store) -> None:
    user = await store.has()
    session = await store.has_session(user)
    token = store.a_refresh_token(session)
    token.spend(store.clock.now())
    async with store.begin() as work:
        await work.sessions.add_refresh_token(token)
        await work.sessions.revoke(session.id, user.id)
        await work.sessions.mark_spent(token)
        assert await work.sessions.find_by_refresh_token(token.token_hash) is None


async def test_a_found_token_is_spent_by_one_at_a_time(store: Store) -> None:
    session = await store.has_session(await store.has())
    async with store.begin() as work:
        await work.sessions.add_refresh_token(store.a_refresh_token(session))

    async def spend() -> bool:
        async with store.begin() as work:
            found = await work.sessions.find_by_refresh_token("hash-1")
            assert found is not None
            was_fresh = found[1].spent_at is None
            await asyncio.sleep(0)
            found[1].spend(store.clock.now())
            await work.sessions.mark_spent(found[1])
            return was_fresh

    outcomes = await asyncio.gather(*(spend() for _ in range(20)))

    assert outcomes.count(True) == 1


async def test_a_session_is_revoked_with_its_tokens_by_its_user_only(store: Store) -> None:
    ada, grace = await store.has("ada@example.org"), await store.has("grace@example.org")
    session = await store.has_session(ada)
    async with store.begin() as work:
        await work.sessions.add_refresh_token(store.a_refresh_token(session))

    async with store.begin() as work:
        assert await work.sessions.revoke(session.id, grace.id) is False
        assert await work.sessions.find_by_refresh_token("hash-1") is not None
        assert await work.sessions.revoke(session.id, ada.id) is True
        assert await work.sessions.find_by_refresh_token("hash-1") is None
        assert await work.sessions.revoke(session.id, ada.id) is False
    assert await store.reads.identify(session.id) is None


async def test_all_sessions_of_a_user_are_revoked_but_the_one_that_is_named(store: Store) -> None:
    ada, grace = await store.has("ada@example.org"), await store.has("grace@example.org")
    for name in ("phone", "laptop", "tablet"):
        await store.has_session(ada, name)
    await store.has_session(grace, "of another user")

    async with store.begin() as work:
        await work.sessions.revoke_all(ada.id, but="laptop")
    assert await store.sessions_of(ada) == ["laptop"]

    async with store.begin() as work:
        await work.sessions.revoke_all(ada.id)
    assert await store.sessions_of(ada) == []
    assert await store.sessions_of(grace) == ["of another user"]


async def test_sweeping_removes_what_has_expired_by_now_and_nothing_else(store: Store) -> None:
    user = await store.has()
    now = store.clock.now()
    expired = await store.has_session(user, "expired", expires_at=now)
    live = await store.has_session(user, "live", expires_at=now + timedelta(microseconds=1))
    async with store.begin() as work:
        await work.sessions.add_refresh_token(store.a_refresh_token(expired, "of the expired", expires_at=now))
        await work.sessions.add_refresh_token(store.a_refresh_token(live, "expired", expires_at=now))
        await work.sessions.add_refresh_token(store.a_refresh_token(live, "live"))

    async with store.begin() as work:
        assert await work.sessions.sweep(now, limit=10) == 2
        assert await work.sessions.sweep(now, limit=10) == 0

    assert await store.reads.identify("expired") is None
    assert await store.sessions_of(user) == ["live"]
    async with store.begin() as work:
        assert await work.sessions.find_by_refresh_token("of the expired") is None
        assert await work.sessions.find_by_refresh_token("expired") is None
        assert await work.sessions.find_by_refresh_token("live") is not None


async def test_sweeping_removes_no_more_than_the_limit_at_once(store: Store) -> None:
    user = await store.has()
    for number in range(5):
        await store.has_session(user, f"session-{number}", expires_at=store.clock.now())

    async with store.begin() as work:
        assert [await work.sessions.sweep(store.clock.now(), limit=2) for _ in range(4)] == [2, 2, 1, 0]
