"""What `application.ports.persistence.Reads` promises, of every implementation."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from domain.pages import Page, PageRequest
from domain.search import words
from domain.users import Email, User
from tests.contracts.stores import Store


async def found(store: Store, q: str | None = None, *, is_active: bool | None = None) -> list[str]:
    """The addresses that a search finds."""
    page = await store.reads.users(PageRequest(limit=100), words=words(q), is_active=is_active)
    return [user.email for user in page.items]


async def has_users(store: Store, count: int) -> list[User]:
    return [await store.has(f"user{number}@example.org") for number in range(count)]


def ids(users: Sequence[User] | Page[User]) -> list[int]:
    return [user.id for user in (users.items if isinstance(users, Page) else users)]


async def test_a_session_says_whose_it_is_and_when_it_ends(store: Store) -> None:
    await store.has("grace@example.org")
    user = await store.has("ada@example.org", full_name="Ada", is_superuser=True)
    session = await store.has_session(user)

    assert await store.reads.identify(session.id) == (user, session.expires_at)


async def test_a_session_that_has_expired_still_says_when(store: Store) -> None:
    user = await store.has()
    session = await store.has_session(user, expires_at=store.clock.now() - timedelta(days=1))

    assert await store.reads.identify(session.id) == (user, session.expires_at)


@pytest.mark.parametrize("session_id", ["", "unheard-of", "x" * 1000, "' OR '1'='1"])
async def test_what_is_no_session_is_nobodys(store: Store, session_id: str) -> None:
    await store.has_session(await store.has())

    assert await store.reads.identify(session_id) is None


async def test_a_user_is_found_by_the_canonical_spelling_of_the_address(store: Store) -> None:
    user = await store.has("ada@example.org")

    assert await store.reads.user_by_email(Email("ADA@Example.org")) == user
    assert await store.reads.user_by_email(Email("nobody@example.org")) is None


async def test_the_list_is_newest_first(store: Store) -> None:
    users = await has_users(store, 3)

    page = await store.reads.users(PageRequest(), words=[], is_active=None)

    assert ids(page) == ids(users)[::-1]
    assert (page.total, page.next_key) == (3, None)


async def test_a_page_by_offset_counts_all_and_names_the_next_key(store: Store) -> None:
    users = await has_users(store, 5)

    page = await store.reads.users(PageRequest(limit=2, skip=1), words=[], is_active=None)

    assert ids(page) == [users[3].id, users[2].id]
    assert (page.total, page.next_key) == (5, (users[2].id,))


async def test_a_page_past_the_end_is_empty_and_still_counts_all(store: Store) -> None:
    await has_users(store, 2)

    page = await store.reads.users(PageRequest(limit=2, skip=10), words=[], is_active=None)

    assert page == Page([], 2, None)


async def test_pages_by_key_miss_and_repeat_nothing_while_rows_come_and_go(store: Store) -> None:
    users = await has_users(store, 7)
    seen: list[int] = []
    page = await store.reads.users(PageRequest(limit=2), words=[], is_active=None)
    while page.next_key is not None:
        seen += ids(page)
        await store.has(f"late{len(seen)}@example.org")
        async with store.begin() as work:
            await work.users.delete(seen[-1])
        page = await store.reads.users(PageRequest(limit=2, after=page.next_key), words=[], is_active=None)
        assert page.total is None
    seen += ids(page)

    assert seen == ids(users)[::-1]


async def test_the_last_page_by_key_names_no_next_one(store: Store) -> None:
    users = await has_users(store, 4)

    page = await store.reads.users(PageRequest(limit=2, after=(users[2].id,)), words=[], is_active=None)

    assert ids(page) == [users[1].id, users[0].id]
    assert page.next_key is None


async def test_a_list_of_nobody_is_an_empty_page(store: Store) -> None:
    assert await store.reads.users(PageRequest(), words=[], is_active=None) == Page([], 0, None)
    assert await store.reads.users(PageRequest(after=(1,)), words=[], is_active=None) == Page([], None, None)


@pytest.mark.parametrize("q", ["ada", "ADA", "lovel", "ŁOVELACE", "example ada", "łovelace ada@", "s (l"])
async def test_a_search_finds_who_has_each_word_in_address_or_name_in_any_case(store: Store, q: str) -> None:
    await store.has("ada@example.org", full_name="Countess Łovelace (Lovelace)")
    await store.has("grace@example.com", full_name="Hopper")

    assert await found(store, q) == ["ada@example.org"]


@pytest.mark.parametrize(("q", "name"), [("strasse", "Große Straße"), ("ΣΊΣΥΦΟΣ", "Σίσυφος"), ("office", "oﬃce")])
async def test_a_search_knows_case_and_compatibility_of_every_script(store: Store, q: str, name: str) -> None:
    await store.has(full_name=name)

    assert await found(store, q) == ["ada@example.org"]


@pytest.mark.parametrize("character", ["%", "_", "!", "\\", "'", '"', "[", "*", "?"])
async def test_characters_with_a_meaning_in_patterns_are_plain_in_a_search(store: Store, character: str) -> None:
    await store.has("with@example.org", full_name=f"a{character}b")
    await store.has("without@example.org", full_name="axb")

    assert await found(store, f"a{character}b") == ["with@example.org"]


async def test_one_word_that_is_missing_finds_nobody(store: Store) -> None:
    await store.has(full_name="Ada Lovelace")

    assert await found(store, "ada hopper") == []


async def test_a_search_counts_and_pages_what_it_finds(store: Store) -> None:
    users = await has_users(store, 4)
    await store.has("somebody@example.com")

    page = await store.reads.users(PageRequest(limit=3), words=["user", "org"], is_active=True)
    rest = await store.reads.users(PageRequest(limit=3, after=page.next_key), words=["user", "org"], is_active=True)

    assert page.total == 4
    assert ids(page) + ids(rest) == ids(users)[::-1]


async def test_the_list_can_be_of_active_or_inactive_accounts_only(store: Store) -> None:
    await store.has("active@example.org")
    await store.has("inactive@example.org", is_active=False)

    assert await found(store, is_active=True) == ["active@example.org"]
    assert await found(store, is_active=False) == ["inactive@example.org"]
    assert await found(store, "example", is_active=False) == ["inactive@example.org"]
    assert len(await found(store)) == 2


async def test_the_search_follows_a_change_of_name_and_address(store: Store) -> None:
    stored = await store.has("ada@example.org", full_name="Byron")
    async with store.begin() as work:
        user = await work.users.get(stored.id)
        user.full_name, user.email = "Lovelace", Email("countess@example.org")
        await work.users.save(user)

    assert await found(store, "byron") == await found(store, "ada") == []
    assert await found(store, "lovelace countess") == ["countess@example.org"]


async def test_the_sessions_of_a_user_are_live_and_last_used_first(store: Store) -> None:
    ada, grace = await store.has("ada@example.org"), await store.has("grace@example.org")
    now = store.clock.now()
    await store.has_session(ada, "old", last_used_at=now - timedelta(hours=1))
    await store.has_session(ada, "new", last_used_at=now)
    await store.has_session(ada, "older", last_used_at=now - timedelta(hours=2))
    await store.has_session(ada, "expired", expires_at=now)
    await store.has_session(grace, "of another user")

    assert await store.sessions_of(ada) == ["new", "old", "older"]


async def test_what_a_transaction_has_not_committed_is_not_seen(store: Store) -> None:
    user = await store.has()
    async with store.begin() as work:
        await work.sessions.add(store.a_session(user))
        assert await store.reads.identify("session-1") is None

    assert await store.reads.identify("session-1") is not None


async def test_a_ping_returns_when_the_database_answers(store: Store) -> None:
    await store.reads.ping()
