"""What is kept of the answers under idempotency keys, on SQLite, on PostgreSQL and in memory."""

import asyncio
from datetime import timedelta

import pytest

from domain.idempotency import AnswerAlreadyKept, Attempt, IdempotencyInProgress, KeptAnswer
from domain.pages import PageRequest
from domain.users import UserId
from tests.builders import a_user
from tests.contracts.stores import Store


def an_answer(key: str = "k", *, user_id: int = 1, text: str = "done") -> KeptAnswer:
    return KeptAnswer(Attempt(UserId(user_id), key, "print"), text)


async def keep(store: Store, answer: KeptAnswer) -> None:
    async with store.begin() as work:
        await work.kept_answers.add(answer)


async def test_an_answer_is_kept_once_under_each_key_of_each_user(store: Store) -> None:
    first, others, another = an_answer(), an_answer(user_id=2), an_answer("K")
    for answer in (first, others, another):
        await keep(store, answer)
    with pytest.raises(AnswerAlreadyKept):
        await keep(store, an_answer(text="again"))
    assert await store.reads.kept_answer(UserId(1), "k") == first
    assert await store.reads.kept_answer(UserId(2), "k") == others
    assert await store.reads.kept_answer(UserId(1), "K") == another
    assert await store.reads.kept_answer(UserId(2), "K") is None


async def test_old_answers_are_swept_so_many_at_a_time(store: Store) -> None:
    for n in range(3):
        await keep(store, an_answer(f"{n}"))
    await store.let_pass(timedelta(hours=24))
    await keep(store, an_answer("new"))
    removed = []
    for _ in range(2):
        async with store.begin() as work:
            removed.append(await work.kept_answers.sweep(timedelta(hours=24), limit=2))
    assert removed == [2, 1]
    assert await store.reads.kept_answer(UserId(1), "new") is not None


async def test_of_several_at_once_one_keeps_its_answer_and_the_others_are_undone(store: Store) -> None:
    async def add(n: int) -> str:
        async with store.begin() as work:
            await work.users.add(a_user(f"{n}@example.org"))
            await work.kept_answers.add(an_answer(text=f"{n}"))
        return f"{n}"

    results = await asyncio.gather(*(add(n) for n in range(8)), return_exceptions=True)
    (winner,) = [result for result in results if isinstance(result, str)]
    assert sum(isinstance(result, AnswerAlreadyKept | IdempotencyInProgress) for result in results) == 7
    users = await store.reads.users(PageRequest(), words=(), is_active=None)
    assert [user.email for user in users.items] == [f"{winner}@example.org"]
    assert await store.reads.kept_answer(UserId(1), "k") == an_answer(text=winner)


async def test_a_key_is_free_again_once_what_was_done_under_it_is_undone(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.begin() as work:
            await work.kept_answers.add(an_answer(text="undone"))
            raise ZeroDivisionError
    await keep(store, an_answer())
    assert await store.reads.kept_answer(UserId(1), "k") == an_answer()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_where_writers_take_no_turns_nobody_waits_for_one_who_keeps_an_answer(sql_store: Store) -> None:
    """Under the same key others are refused; other keys, and those of others, are free."""
    async with asyncio.timeout(60), sql_store.begin() as work:
        await work.kept_answers.add(an_answer())
        with pytest.raises(IdempotencyInProgress):
            await keep(sql_store, an_answer(text="at the same time"))
        await keep(sql_store, an_answer("K"))
        await keep(sql_store, an_answer(user_id=2))
    with pytest.raises(AnswerAlreadyKept):
        await keep(sql_store, an_answer(text="later"))
    assert await sql_store.reads.kept_answer(UserId(1), "k") == an_answer()
    assert await sql_store.reads.kept_answer(UserId(2), "k") == an_answer(user_id=2)
