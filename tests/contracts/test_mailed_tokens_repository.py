"""What `application.ports.persistence.MailedTokens` promises, of every implementation."""

import asyncio
from datetime import timedelta

from domain.mailed_tokens import MailedToken, Purpose
from domain.users import Email, User
from tests.contracts.stores import Store


async def stored(store: Store, token: MailedToken) -> MailedToken:
    async with store.begin() as work:
        assert await work.mailed_tokens.replace(token)
    return token


async def live_tokens(store: Store, *hashes: str) -> list[str]:
    found = [(name, await store.reads.mailed_token(name)) for name in hashes]
    return [name for name, token in found if token is not None and not token.dead]


async def test_a_token_comes_back_as_it_was_stored(store: Store) -> None:
    user = await store.has()
    token = await stored(
        store, store.a_mailed_token(user, purpose=Purpose.CHANGE_EMAIL, email=Email("new@exämple.org"))
    )

    found = await store.reads.mailed_token(token.token_hash)

    assert found == token
    assert isinstance(found.purpose, Purpose)
    async with store.begin() as work:
        assert await work.mailed_tokens.find(token.token_hash) == token


async def test_a_token_that_nobody_mailed_is_not_found(store: Store) -> None:
    async with store.begin() as work:
        assert await work.mailed_tokens.find("unheard-of") is None
    assert await store.reads.mailed_token("unheard-of") is None


async def test_a_new_token_supersedes_those_of_the_same_user_and_purpose_only(store: Store) -> None:
    ada, grace = await store.has("ada@example.org"), await store.has("grace@example.org")
    await stored(store, store.a_mailed_token(ada, "first"))
    await stored(store, store.a_mailed_token(ada, "of another purpose", purpose=Purpose.RESET_PASSWORD))
    await stored(store, store.a_mailed_token(grace, "of another user"))

    await stored(store, store.a_mailed_token(ada, "second"))

    names = ("first", "second", "of another purpose", "of another user")
    assert await live_tokens(store, *names) == ["second", "of another purpose", "of another user"]


async def test_a_live_token_that_is_mailed_again_takes_the_new_expiry(store: Store) -> None:
    user = await store.has()
    token = await stored(store, store.a_mailed_token(user))
    later = token.expires_at + timedelta(hours=1)

    await stored(store, store.a_mailed_token(user, expires_at=later))

    found = await store.reads.mailed_token(token.token_hash)
    assert found is not None
    assert (found.expires_at, found.dead) == (later, False)


async def test_a_token_that_was_used_stays_dead(store: Store) -> None:
    user = await store.has()
    token = await stored(store, store.a_mailed_token(user))
    async with store.begin() as work:
        await work.mailed_tokens.mark_dead(token)

    async with store.begin() as work:
        assert await work.mailed_tokens.replace(store.a_mailed_token(user)) is False

    assert await live_tokens(store, token.token_hash) == []


async def test_a_token_that_was_superseded_stays_dead_and_leaves_the_later_one_alive(store: Store) -> None:
    user = await store.has()
    await stored(store, store.a_mailed_token(user, "first"))
    await stored(store, store.a_mailed_token(user, "second"))

    async with store.begin() as work:
        assert await work.mailed_tokens.replace(store.a_mailed_token(user, "first")) is False

    assert await live_tokens(store, "first", "second") == ["second"]


async def test_using_a_token_that_is_gone_is_no_error(store: Store) -> None:
    token = store.a_mailed_token(await store.has())
    async with store.begin() as work:
        await work.mailed_tokens.mark_dead(token)
    assert await store.reads.mailed_token("hash-1") is None


async def test_superseding_leaves_none_of_that_user_and_purpose_alive(store: Store) -> None:
    user = await store.has()
    await stored(store, store.a_mailed_token(user, "verify"))
    await stored(store, store.a_mailed_token(user, "reset", purpose=Purpose.RESET_PASSWORD))

    async with store.begin() as work:
        await work.mailed_tokens.supersede(user.id, Purpose.VERIFY_EMAIL)

    assert await live_tokens(store, "verify", "reset") == ["reset"]


async def test_a_found_token_is_used_once_however_many_try_at_once(store: Store) -> None:
    token = await stored(store, store.a_mailed_token(await store.has()))

    async def use() -> bool:
        async with store.begin() as work:
            found = await work.mailed_tokens.find(token.token_hash)
            assert found is not None
            was_live = not found.dead
            await asyncio.sleep(0)
            await work.mailed_tokens.mark_dead(found)
            return was_live

    assert (await asyncio.gather(*(use() for _ in range(20)))).count(True) == 1


async def test_of_many_mailed_at_once_under_the_lock_of_their_user_one_is_alive(store: Store) -> None:
    user = await store.has()

    async def mail(user: User, name: str) -> None:
        async with store.begin() as work:
            await work.users.get(user.id)
            await work.mailed_tokens.replace(store.a_mailed_token(user, name))

    names = [f"hash-{number}" for number in range(10)]
    await asyncio.gather(*(mail(user, name) for name in names))

    assert len(await live_tokens(store, *names)) == 1


async def test_sweeping_removes_what_has_expired_by_now_and_no_more_than_the_limit(store: Store) -> None:
    now = store.clock.now()
    for number in range(5):
        user = await store.has(f"user{number}@example.org")
        await stored(store, store.a_mailed_token(user, f"expired-{number}", expires_at=now))
    await stored(store, store.a_mailed_token(user, "live", expires_at=now + timedelta(microseconds=1)))

    async with store.begin() as work:
        assert [await work.mailed_tokens.sweep(now, limit=2) for _ in range(4)] == [2, 2, 1, 0]

    assert await store.reads.mailed_token("live") is not None
    assert await store.reads.mailed_token("expired-4") is None
