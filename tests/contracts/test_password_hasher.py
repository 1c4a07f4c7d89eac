"""What every password hasher promises, then what bcrypt adds."""

import asyncio
import threading
import unicodedata
from collections.abc import Callable, Iterator

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.security.bcrypt_hasher import BcryptHasher
from application.ports.security import PasswordHasher
from domain.errors import Unavailable
from domain.passwords import Password
from tests.fakes.passwords import PlainHasher

CHEAPEST = 4
PASSWORD = Password("Correct Horse 1")
CAFE = "Café Zürich 1"


@pytest.fixture
def make() -> Iterator[Callable[..., BcryptHasher]]:
    made: list[BcryptHasher] = []

    def make(rounds: int = CHEAPEST, **options: int) -> BcryptHasher:
        made.append(BcryptHasher(rounds, **options))
        return made[-1]

    yield make
    for hasher in made:
        hasher.close()


Make = Callable[..., BcryptHasher]


@pytest.fixture(params=["bcrypt", "fake"])
def hasher(request: pytest.FixtureRequest, make: Make) -> PasswordHasher:
    return PlainHasher() if request.param == "fake" else make()


class TestEveryHasher:
    async def test_the_password_is_verified_and_another_is_not(self, hasher: PasswordHasher) -> None:
        hashed = await hasher.hash(PASSWORD)
        assert await hasher.verify(PASSWORD, hashed)
        assert not await hasher.verify(Password("Correct Horse 2"), hashed)

    async def test_without_a_hash_no_password_is_right(self, hasher: PasswordHasher) -> None:
        assert not await hasher.verify(PASSWORD, None)

    async def test_a_new_hash_is_not_outdated_and_does_not_hold_the_password(self, hasher: PasswordHasher) -> None:
        hashed = await hasher.hash(PASSWORD)
        assert not hasher.is_outdated(hashed)
        assert PASSWORD.value not in hashed

    @pytest.mark.parametrize("length", [54, 55, 71, 72, 73, 99])
    async def test_twins_that_differ_only_in_the_last_character_are_told_apart(
        self, hasher: PasswordHasher, length: int
    ) -> None:
        hashed = await hasher.hash(Password("Aa1" + "x" * (length - 3) + "y"))
        assert await hasher.verify(Password("Aa1" + "x" * (length - 3) + "y"), hashed)
        assert not await hasher.verify(Password("Aa1" + "x" * (length - 3) + "z"), hashed)
        assert not await hasher.verify(Password("Aa1" + "x" * (length - 3)), hashed)

    async def test_what_follows_a_nul_counts(self, hasher: PasswordHasher) -> None:
        hashed = await hasher.hash(Password("Aa1\0secret"))
        assert await hasher.verify(Password("Aa1\0secret"), hashed)
        assert not await hasher.verify(Password("Aa1\0public"), hashed)
        assert not await hasher.verify(Password("Aa1"), hashed)

    async def test_two_ways_to_type_an_accent_are_one_password(self, hasher: PasswordHasher) -> None:
        composed, decomposed = unicodedata.normalize("NFC", CAFE), unicodedata.normalize("NFD", CAFE)
        assert composed != decomposed
        assert await hasher.verify(Password(decomposed), await hasher.hash(Password(composed)))
        assert await hasher.verify(Password(composed), await hasher.hash(Password(decomposed)))
        assert not await hasher.verify(Password("Cafe Zurich 1"), await hasher.hash(Password(composed)))

    async def test_a_megabyte_in_place_of_a_password_is_just_wrong(self, hasher: PasswordHasher) -> None:
        hashed = await hasher.hash(PASSWORD)
        assert not await hasher.verify(Password(PASSWORD.value + "x" * 1_000_000), hashed)
        assert not await hasher.verify(Password("é" * 1_000_000), None)


class TestBcrypt:
    async def test_each_hash_has_its_own_salt(self, make: Make) -> None:
        hasher = make()
        assert len({await hasher.hash(PASSWORD) for _ in range(20)}) == 20

    async def test_the_stored_text_names_scheme_and_cost_and_is_short(self, make: Make) -> None:
        hashed = await make().hash(Password("x" * 100))
        assert hashed.startswith("portico1$2b$04$")
        assert len(hashed) == len("portico1") + 60

    async def test_a_hash_at_another_cost_is_verified_and_outdated(self, make: Make) -> None:
        weak, strong = make(4), make(5)
        for maker, other in ((weak, strong), (strong, weak)):
            hashed = await maker.hash(PASSWORD)
            assert other.is_outdated(hashed)
            assert await other.verify(PASSWORD, hashed)

    @pytest.mark.parametrize("version", ["2a", "2b", "2y"])
    async def test_a_plain_bcrypt_hash_from_elsewhere_is_verified_and_outdated(self, make: Make, version: str) -> None:
        imported = bcrypt.hashpw(PASSWORD.value.encode(), bcrypt.gensalt(CHEAPEST)).decode().replace("2b", version, 1)
        hasher = make()
        assert await hasher.verify(PASSWORD, imported)
        assert not await hasher.verify(Password("Correct Horse 2"), imported)
        assert hasher.is_outdated(imported)

    async def test_a_plain_hash_of_a_long_password_is_verified_from_72_bytes_as_where_it_was_made(
        self, make: Make
    ) -> None:
        long = "é" * 35 + "Aa1" + "x" * 20
        imported = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(CHEAPEST)).decode()
        assert await make().verify(Password(long), imported)
        assert not await make().verify(Password("E" + long[1:]), imported)

    async def test_a_plain_hash_is_not_opened_by_what_is_stored_for_the_new_scheme(self, make: Make) -> None:
        hasher = make()
        hashed = await hasher.hash(PASSWORD)
        assert not await hasher.verify(PASSWORD, hashed.removeprefix("portico1"))
        assert not await hasher.verify(Password(hashed), hashed)

    @pytest.mark.parametrize(
        "broken",
        [
            "",
            "$",
            "!",
            "portico1",
            "portico1$",
            "portico1$2b$04$short",
            "portico2$2b$04$" + "." * 53,
            "$2b$99$",
            "é",
            "\ud800",
        ],
        ids=ascii,
    )
    async def test_a_text_that_is_no_hash_is_right_for_no_password(self, make: Make, broken: str) -> None:
        assert not await make().verify(PASSWORD, broken)

    @pytest.mark.parametrize("rounds", [3, 32])
    def test_a_cost_that_bcrypt_does_not_know_is_refused_at_once(self, make: Make, rounds: int) -> None:
        with pytest.raises(ValueError, match="4 to 31"):
            make(rounds)

    @given(st.text(alphabet=st.characters(), max_size=200), st.text(alphabet=st.characters(), max_size=200))
    @settings(max_examples=50)
    def test_any_two_texts_are_one_password_only_if_they_are_equal(self, one: str, other: str) -> None:
        async def agree() -> bool:
            hasher = BcryptHasher(CHEAPEST, threads=1)
            try:
                return await hasher.verify(Password(other), await hasher.hash(Password(one)))
            finally:
                hasher.close()

        assert asyncio.run(agree()) == (Password(one) == Password(other))


class TestItsThreads:
    async def test_the_event_loop_goes_on_while_a_hash_is_made(self, make: Make) -> None:
        hashing = asyncio.create_task(make(11).hash(PASSWORD))
        turns = 0
        while not hashing.done():
            await asyncio.sleep(0)
            turns += 1
        assert (await hashing).startswith("portico1$2b$11$")
        assert turns > 100

    async def test_no_more_than_the_bound_wait(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        gate, hash_it = threading.Event(), bcrypt.hashpw
        monkeypatch.setattr(bcrypt, "hashpw", lambda *given: gate.wait(60) and hash_it(*given))
        hasher = make(threads=1, waiting=1)
        waiting = [asyncio.create_task(hasher.hash(PASSWORD)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await hasher.hash(PASSWORD)
        gate.set()
        assert all(hashed.startswith("portico1") for hashed in await asyncio.gather(*waiting))

    async def test_a_closed_hasher_accepts_no_more(self, make: Make) -> None:
        hasher = make()
        hasher.close()
        with pytest.raises(Unavailable):
            await hasher.hash(PASSWORD)
