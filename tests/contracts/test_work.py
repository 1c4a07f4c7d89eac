"""What `application.ports.persistence.Work` promises of a transaction, of every implementation."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from adapters.persistence.database import Database
from application.correlation import request_id
from application.ports.jobs import Job
from application.ports.persistence import Work
from domain.events import EmailChangeRequested, UserRegistered
from domain.pages import PageRequest
from domain.users import EmailTaken, User
from tests.builders import a_user
from tests.contracts.stores import Store

LEASE = timedelta(minutes=1)


async def claimed(store: Store) -> Sequence[Job]:
    """All that is to be done."""
    return await store.jobs.claim("a worker", limit=1000, lease=LEASE)


async def addresses(store: Store) -> set[str]:
    return {user.email for user in (await store.reads.users(PageRequest(limit=1000), words=[], is_active=None)).items}


async def register(store: Store, email: str) -> User:
    """A transaction with a change and its event."""
    async with store.begin() as work:
        user = await work.users.add(a_user(email))
        work.announce(UserRegistered(user.id))
        return user


async def test_leaving_the_block_commits_the_changes_and_the_jobs_together(store: Store) -> None:
    user = await register(store, "ada@example.org")

    assert await addresses(store) == {"ada@example.org"}
    (job,) = await claimed(store)
    assert (job.kind, job.payload, job.attempt) == ("mail_verification", {"user_id": user.id}, 1)


async def test_an_event_causes_a_job_for_each_of_its_reactions(store: Store) -> None:
    async with store.begin() as work:
        work.announce(EmailChangeRequested(7, "old@example.org", "new@exämple.org", "a mark"))

    jobs = await claimed(store)

    assert {job.kind for job in jobs} == {"mail_email_change", "mail_email_change_requested"}
    assert all(job.payload["new_email"] == "new@exämple.org" for job in jobs)


async def test_a_job_carries_the_id_of_the_request_that_caused_it(store: Store) -> None:
    token = request_id.set("request-1")
    try:
        await register(store, "ada@example.org")
    finally:
        request_id.reset(token)
    await register(store, "grace@example.org")

    assert {job.request_id for job in await claimed(store)} == {"request-1", None}


async def test_no_job_can_be_had_before_the_commit(store: Store) -> None:
    async with store.begin() as work:
        work.announce(UserRegistered(1))
        assert (await store.jobs.figures()).depth == 0

    assert (await store.jobs.figures()).depth == 1


@pytest.mark.parametrize("failure", [RuntimeError(), asyncio.CancelledError(), TimeoutError(), OSError()])
async def test_an_exception_undoes_all_of_it_and_goes_on(store: Store, failure: BaseException) -> None:
    stored = await store.has("ada@example.org", full_name="Ada")

    with pytest.raises(type(failure)) as raised:
        async with store.begin() as work:
            user = await work.users.get(stored.id)
            user.full_name = "somebody else"
            await work.users.save(user)
            await work.users.add(a_user("grace@example.org"))
            await work.sessions.add(store.a_session(stored))
            work.announce(UserRegistered(stored.id))
            raise failure

    assert raised.value is failure
    assert await addresses(store) == {"ada@example.org"}
    assert (await store.reads.user(stored.id)).full_name == "Ada"
    assert await store.reads.identify("session-1") is None
    assert await claimed(store) == []


async def test_what_is_taken_already_is_said_in_the_words_of_the_domain_and_leaves_nothing(store: Store) -> None:
    await register(store, "ada@example.org")

    with pytest.raises(EmailTaken):
        async with store.begin() as work:
            work.announce(UserRegistered(4711))
            await work.users.add(a_user("grace@example.org"))
            await work.users.add(a_user("ada@example.org"))

    assert await addresses(store) == {"ada@example.org"}
    assert len(await claimed(store)) == 1


async def test_a_transaction_that_is_cancelled_in_the_middle_leaves_nothing_and_no_lock(store: Store) -> None:
    stored = await store.has("ada@example.org", full_name="Ada")
    is_inside = asyncio.Event()

    async def linger() -> None:
        async with store.begin() as work:
            user = await work.users.get(stored.id)
            user.full_name = "somebody else"
            await work.users.save(user)
            work.announce(UserRegistered(user.id))
            is_inside.set()
            await asyncio.Event().wait()

    lingering = asyncio.create_task(linger())
    await is_inside.wait()
    lingering.cancel()
    await asyncio.gather(lingering, return_exceptions=True)

    assert lingering.cancelled()
    async with asyncio.timeout(60), store.begin() as work:
        user = await work.users.get(stored.id)
        assert user.full_name == "Ada"
        await work.users.save(user)
    assert await claimed(store) == []


async def test_cancelled_at_any_moment_it_is_done_whole_or_not_at_all(
    sql_store: Store, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    for moment in (*range(30), *range(30, 1200, 15)):
        registering = asyncio.create_task(register(sql_store, f"user{moment}@example.org"))
        for _ in range(moment):
            await asyncio.sleep(0)
        registering.cancel()
        await asyncio.gather(registering, return_exceptions=True)

    async with asyncio.timeout(60):
        await register(sql_store, "last@example.org")
        assert len(await claimed(sql_store)) == len(await addresses(sql_store)) >= 1
    assert database.connections()["used"] == 0
    assert [record.message for record in caplog.records] == []


async def test_who_gives_up_waiting_for_a_lock_takes_it_from_nobody(store: Store) -> None:
    stored = await store.has(full_name="")
    is_inside, may_leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.begin() as work:
            await work.users.get(stored.id)
            is_inside.set()
            await may_leave.wait()

    async def sign(letter: str) -> None:
        async with store.begin() as work:
            user = await work.users.get(stored.id)
            user.full_name = f"{user.full_name}{letter}"
            await work.users.save(user)

    holding = asyncio.create_task(hold())
    await is_inside.wait()
    waiting = [asyncio.create_task(sign(letter)) for letter in "abcdef"]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    await asyncio.gather(*waiting[::2], return_exceptions=True)
    may_leave.set()
    async with asyncio.timeout(60):
        await asyncio.gather(holding, *waiting[1::2])

    assert sorted((await store.reads.user(stored.id)).full_name or "") == ["b", "d", "f"]


async def test_reads_do_not_wait_for_a_transaction(store: Store) -> None:
    stored = await store.has(full_name="Ada")
    async with store.begin() as work:
        user = await work.users.get(stored.id)
        user.full_name = "Countess"
        await work.users.save(user)
        async with asyncio.timeout(60):
            assert (await store.reads.user(stored.id)).full_name == "Ada"

    assert (await store.reads.user(stored.id)).full_name == "Countess"


async def test_fifty_writers_at_once_all_succeed(store: Store) -> None:
    names = {f"user{number}@example.org" for number in range(50)}

    await asyncio.gather(*(register(store, name) for name in names))

    assert await addresses(store) == names
    assert len(await claimed(store)) == 50


async def test_the_repositories_are_of_no_use_after_the_block(store: Store) -> None:
    kept: list[Work] = []
    async with store.begin() as work:
        kept.append(work)

    with pytest.raises(RuntimeError, match="ended"):
        await kept[0].users.add(a_user())

    assert await addresses(store) == set()
