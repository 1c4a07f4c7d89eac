import asyncio
from datetime import timedelta

import pytest

from application.sessions import Device, TokenPair
from domain.errors import TooManyAttempts
from domain.passwords import Password
from domain.users import InactiveUser, InvalidCredentials
from tests.builders import ANOTHER_PASSWORD, LAPTOP, PASSWORD, PHONE, World

WINDOW = timedelta(minutes=15)


async def guess(
    world: World, email: str = "ada@example.org", password: str = ANOTHER_PASSWORD, device: Device = LAPTOP
) -> TokenPair:
    return await world.sign_in(email=email, password=Password(password), device=device)


async def fail(world: World, number: int, email: str = "ada@example.org") -> None:
    for _ in range(number):
        with pytest.raises(InvalidCredentials):
            await guess(world, email)


async def test_after_ten_failures_even_the_right_password_waits(world: World) -> None:
    await world.has()
    await fail(world, 10)
    compared = len(world.hasher.verified)
    for password in (PASSWORD, ANOTHER_PASSWORD):
        with pytest.raises(TooManyAttempts) as refused:
            await guess(world, password=password)
        assert refused.value.retry_after == WINDOW.total_seconds()
    assert len(world.hasher.verified) == compared


async def test_after_nine_failures_the_right_password_is_let_in(world: World) -> None:
    await world.has()
    await fail(world, 9)
    await guess(world, password=PASSWORD)


async def test_after_fifteen_minutes_one_may_try_again(world: World) -> None:
    await world.has()
    await fail(world, 10)
    world.clock.advance(WINDOW)
    await guess(world, password=PASSWORD)


async def test_an_unknown_address_is_throttled_just_as_a_known_one(world: World) -> None:
    await fail(world, 10, "nobody@example.org")
    with pytest.raises(TooManyAttempts):
        await guess(world, "nobody@example.org")


async def test_what_is_no_address_is_throttled_too(world: World) -> None:
    await fail(world, 10, "nobody")
    with pytest.raises(TooManyAttempts):
        await guess(world, "nobody")


async def test_another_account_and_another_address_have_their_own_allowance(world: World) -> None:
    ada, bob = await world.has(), await world.has("bob@example.org")
    await fail(world, 10)
    await guess(world, ada.email, PASSWORD, PHONE)
    await guess(world, bob.email, PASSWORD)


@pytest.mark.parametrize(
    "spellings",
    [
        ["ada@example.org", "ADA@example.org", " ada@EXAMPLE.org"],
        ["ada@münchen.de", "ada@xn--mnchen-3ya.de", "ada@mu\u0308nchen.de"],
    ],
)
async def test_another_spelling_of_the_address_is_no_further_allowance(world: World, spellings: list[str]) -> None:
    for number in range(10):
        await fail(world, 1, spellings[number % len(spellings)])
    for spelling in spellings:
        with pytest.raises(TooManyAttempts):
            await guess(world, spelling)


async def test_an_address_has_a_hundred_failures_whatever_the_accounts(world: World) -> None:
    ada = await world.has()
    for number in range(10):
        await fail(world, 10, f"user{number}@example.org")
    compared = len(world.hasher.verified)
    with pytest.raises(TooManyAttempts):
        await guess(world, ada.email, PASSWORD)
    assert len(world.hasher.verified) == compared
    await guess(world, ada.email, PASSWORD, PHONE)


async def test_signing_in_rightly_costs_nothing(world: World) -> None:
    await world.has()
    for _ in range(101):
        await guess(world, password=PASSWORD)


async def test_a_deactivated_account_with_the_right_password_costs_nothing(world: World) -> None:
    await world.has(is_active=False)
    for _ in range(11):
        with pytest.raises(InactiveUser):
            await guess(world, password=PASSWORD)


@pytest.mark.parametrize(("accounts", "allowed"), [(1, 10), (200, 100)])
async def test_guesses_that_queue_up_do_not_succeed_after_the_allowance_is_used_up(
    world: World, accounts: int, allowed: int
) -> None:
    emails = [(await world.has(f"user{number}@example.org")).email for number in range(accounts)]
    one_at_a_time = asyncio.Lock()

    async def queue_up() -> None:
        async with one_at_a_time:
            await asyncio.sleep(0.2)

    world.hasher.while_hashing = queue_up
    guesses = [guess(world, emails[number % accounts]) for number in range(allowed + 20)]
    results = await asyncio.gather(*guesses, guess(world, emails[-1], PASSWORD), return_exceptions=True)
    kinds = [type(result) for result in results]
    assert kinds.count(InvalidCredentials) == allowed
    assert kinds.count(TooManyAttempts) == 21
    assert world.store.sessions == []
