"""What `application.ports.persistence.Users` promises, of every implementation."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from application.ports.persistence.users import MOST_ACTIVITIES
from domain.mailed_tokens import Purpose
from domain.pages import PageRequest
from domain.users import Email, EmailTaken, UserId, UserNotFound
from tests.builders import a_user
from tests.contracts.stores import Store, opened, store_on
from tests.fakes import SettableClock


async def test_a_user_comes_back_as_it_was_stored(store: Store) -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
    stored = await store.has(
        "ada@exämple.org",
        full_name="Ada Łovelace 🧮",
        password_hash="a hash",
        is_active=False,
        is_verified=True,
        is_superuser=True,
        created_at=moment,
        updated_at=moment + timedelta(microseconds=1),
        last_active=moment + timedelta(days=1),
    )

    assert await store.reads.user(stored.id) == stored
    async with store.begin() as work:
        assert await work.users.get(stored.id) == stored
        assert await work.users.find_by_email(stored.email) == stored


async def test_what_is_not_known_of_a_user_stays_unknown(store: Store) -> None:
    stored = await store.has(full_name=None, last_active=None)

    found = await store.reads.user(stored.id)

    assert (found.full_name, found.last_active) == (None, None)
    assert isinstance(found.email, Email)


async def test_ids_are_given_in_rising_order_from_one(store: Store) -> None:
    users = [await store.has(f"user{n}@example.org") for n in range(3)]

    assert [user.id for user in users] == [1, 2, 3]


async def test_an_id_is_never_given_twice(store: Store) -> None:
    gone = await store.has("gone@example.org")
    async with store.begin() as work:
        await work.users.delete(gone.id)

    assert (await store.has("next@example.org")).id > gone.id


async def test_an_address_is_taken_by_one_user_only(store: Store) -> None:
    await store.has("ada@example.org")

    with pytest.raises(EmailTaken):
        await store.has("ada@example.org")

    assert (await store.reads.users(PageRequest(), words=[], is_active=None)).total == 1


async def test_fifty_at_once_with_one_address_make_exactly_one_user(store: Store) -> None:
    outcomes = await asyncio.gather(*(store.has("ada@example.org") for _ in range(50)), return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, EmailTaken)]
    assert len(refused) == 49
    assert (await store.reads.users(PageRequest(), words=[], is_active=None)).total == 1


async def test_a_saved_user_is_changed_and_updated_now(store: Store) -> None:
    stored = await store.has()
    async with store.begin() as work:
        user = await work.users.get(stored.id)
        user.email = Email("countess@example.org")
        user.full_name = "Ada"
        user.password_hash = "another hash"
        user.is_active = user.is_verified = False
        user.is_superuser = True
        await work.users.save(user)

    found = await store.reads.user(stored.id)

    assert found == user
    assert found.updated_at == store.clock.now() != stored.updated_at
    assert found.created_at == stored.created_at
    assert await store.reads.user_by_email(stored.email) is None


async def test_a_user_can_not_take_the_address_of_another(store: Store) -> None:
    await store.has("ada@example.org")
    grace = await store.has("grace@example.org")

    with pytest.raises(EmailTaken):
        async with store.begin() as work:
            user = await work.users.get(grace.id)
            user.email = Email("ada@example.org")
            await work.users.save(user)

    assert (await store.reads.user(grace.id)).email == "grace@example.org"


async def test_a_changed_entity_that_is_not_saved_changes_nothing(store: Store) -> None:
    stored = await store.has(full_name="Ada")
    async with store.begin() as work:
        (await work.users.get(stored.id)).full_name = "somebody else"

    assert (await store.reads.user(stored.id)).full_name == "Ada"


@pytest.mark.parametrize("user_id", [0, 4711, 2**63 - 1])
async def test_who_is_not_there_is_not_found(store: Store, user_id: int) -> None:
    with pytest.raises(UserNotFound):
        await store.reads.user(user_id)
    for refused in ("get", "delete"):
        with pytest.raises(UserNotFound):
            async with store.begin() as work:
                await getattr(work.users, refused)(user_id)
    async with store.begin() as work:
        assert await work.users.find_by_email(Email("nobody@example.org")) is None


async def test_deleting_a_user_removes_what_is_theirs_and_nothing_else(store: Store) -> None:
    ada, grace = await store.has("ada@example.org"), await store.has("grace@example.org")
    for user, name in ((ada, "ada"), (grace, "grace")):
        session = await store.has_session(user, f"session of {name}")
        async with store.begin() as work:
            await work.sessions.add_refresh_token(store.a_refresh_token(session, f"refresh {name}"))
            await work.mailed_tokens.replace(store.a_mailed_token(user, f"mailed {name}", purpose=Purpose.CHANGE_EMAIL))

    async with store.begin() as work:
        await work.users.delete(ada.id)

    assert await store.reads.user_by_email(ada.email) is None
    assert await store.reads.identify("session of ada") is None
    assert await store.reads.mailed_token("mailed ada") is None
    assert await store.reads.identify("session of grace") is not None
    assert await store.reads.mailed_token("mailed grace") is not None
    async with store.begin() as work:
        assert await work.sessions.find_by_refresh_token("refresh ada") is None
        assert await work.sessions.find_by_refresh_token("refresh grace") is not None


async def test_the_active_superusers_are_those_that_are_both(store: Store) -> None:
    root = await store.has("root@example.org", is_superuser=True)
    await store.has("retired@example.org", is_superuser=True, is_active=False)
    await store.has("ada@example.org")
    second = await store.has("second@example.org", is_superuser=True)

    async with store.begin() as work:
        assert await work.users.lock_active_superusers() == {root.id, second.id}


async def test_of_two_superusers_who_demote_each_other_at_once_one_stays(store: Store) -> None:
    roots = [await store.has(f"root{n}@example.org", is_superuser=True) for n in range(2)]

    async def demote(user_id: int) -> None:
        async with store.begin() as work:
            if await work.users.lock_active_superusers() - {user_id}:
                user = await work.users.get(user_id)
                await asyncio.sleep(0)
                user.is_superuser = False
                await work.users.save(user)

    await asyncio.gather(*(demote(root.id) for root in roots))

    async with store.begin() as work:
        assert len(await work.users.lock_active_superusers()) == 1


async def test_a_user_that_was_got_is_changed_by_nobody_else_meanwhile(store: Store) -> None:
    stored = await store.has(full_name="")

    async def add_letter(letter: str) -> None:
        async with store.begin() as work:
            user = await work.users.find_by_email(stored.email)
            assert user is not None
            await asyncio.sleep(0)
            user.full_name = f"{user.full_name}{letter}"
            await work.users.save(user)

    await asyncio.gather(*(add_letter(letter) for letter in "abcdefghij"))

    assert sorted((await store.reads.user(stored.id)).full_name or "") == list("abcdefghij")


async def test_activity_moves_forward_once_a_minute_and_never_back(store: Store) -> None:
    stored = await store.has()
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    seen = []

    for after in (timedelta(), timedelta(hours=-1), timedelta(seconds=59), timedelta(seconds=60), timedelta()):
        async with store.begin() as work:
            await work.users.record_activity(stored.id, noon + after)
        seen.append((await store.reads.user(stored.id)).last_active)

    assert seen == [noon] * 3 + [noon + timedelta(minutes=1)] * 2


async def test_activity_of_a_user_who_is_gone_is_no_error(store: Store) -> None:
    async with store.begin() as work:
        await work.users.record_activity(4711, datetime(2026, 3, 1, tzinfo=UTC))

    assert (await store.reads.users(PageRequest(), words=[], is_active=None)).total == 0


async def test_recording_activity_does_not_count_as_an_update(store: Store) -> None:
    stored = await store.has()
    async with store.begin() as work:
        await work.users.record_activity(stored.id, datetime(2026, 3, 1, tzinfo=UTC))

    assert (await store.reads.user(stored.id)).updated_at == stored.updated_at


async def test_what_is_added_is_given_back_with_its_id(store: Store) -> None:
    async with store.begin() as work:
        added = await work.users.add(a_user())

    assert added == await store.reads.user(added.id)


async def test_activities_are_recorded_once_a_minute_for_as_many_as_there_are(store: Store) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    ages = (None, timedelta(minutes=1), timedelta(seconds=59), timedelta(seconds=-5))
    users = [
        await store.has(f"user{number}@example.org", last_active=None if age is None else noon - age)
        for number, age in enumerate(ages)
    ]
    other = await store.has("other@example.org")

    async with store.begin() as work:
        await work.users.record_activities([*(user.id for user in users), UserId(4711)], noon)

    found = [(await store.reads.user(user.id)).last_active for user in users]
    assert found == [noon, noon, noon - timedelta(seconds=59), noon + timedelta(seconds=5)]
    assert (await store.reads.user(other.id)).last_active is None
    assert (await store.reads.user(users[0].id)).updated_at == users[0].updated_at


async def test_activities_of_a_hundred_are_recorded_at_once(store: Store) -> None:
    users = [await store.has(f"user{number}@example.org") for number in range(MOST_ACTIVITIES)]
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)

    async with store.begin() as work:
        await work.users.record_activities([user.id for user in users], noon)

    page = await store.reads.users(PageRequest(limit=100), words=[], is_active=None)
    assert {user.last_active for user in page.items} == {noon}


async def test_recording_activities_never_waits_for_who_is_just_being_changed(migrated_postgres_url: str) -> None:
    """On PostgreSQL: SQLite has one writer at a time anyway."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    async with opened(migrated_postgres_url) as database:
        store = store_on(database, SettableClock())
        ada, bob = await store.has(), await store.has("bob@example.org")
        async with store.begin() as changing:
            await changing.users.get(ada.id)
            async with asyncio.timeout(60), store.begin() as work:
                await work.users.record_activities([ada.id, bob.id], noon)

        assert (await store.reads.user(ada.id)).last_active is None
        assert (await store.reads.user(bob.id)).last_active == noon
