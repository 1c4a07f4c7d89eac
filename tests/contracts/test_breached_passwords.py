"""Which passwords count as well-known, and what the shipped list is."""

import gzip
import json
from pathlib import Path

import pytest

from adapters.security.breached import FILE, RECORD_BYTES, BreachedPasswordList
from adapters.security.generate_breached import write
from application.ports.security import BreachedPasswords
from domain.passwords import Password
from tests.fakes.passwords import FixedBreachedPasswords

WELL_KNOWN = [
    "Password1",
    "Passw0rd",
    "Qwerty123",
    "Welcome1",
    "Abc12345",
    "Iloveyou1",
    "Password123",
    "P@ssw0rd",
    "Admin123",
    "Letmein1",
    "Trustno1",
    "Changeme1",
    "Football1",
    "Monkey123",
    "Princess1",
    "1q2w3e4R",
    "Aa123456",
    "Test1234",
    "Superman1",
    "Dragon12",
    "Charlie1",
    "Passwort1",
    "Hello123",
    "Liverpool1",
]


@pytest.fixture(params=["shipped", "fake"])
def breached(request: pytest.FixtureRequest) -> BreachedPasswords:
    return BreachedPasswordList() if request.param == "shipped" else FixedBreachedPasswords()


class TestEveryList:
    @pytest.mark.parametrize("text", ["password1", "Password1", "PASSWORD1", "pAssWorD1"])
    async def test_a_listed_password_is_known_in_any_case(self, breached: BreachedPasswords, text: str) -> None:
        assert await breached.contains(Password(text))

    @pytest.mark.parametrize(
        "text",
        ["Tr0ub4dor&3 with a hat", "Correct Horse 1 Battery", "Password1 ", "", "\0", "\ud800", "x" * 1_000_000],
        ids=range(7),
    )
    async def test_another_is_not(self, breached: BreachedPasswords, text: str) -> None:
        assert not await breached.contains(Password(text))


class TestTheShippedList:
    @pytest.mark.parametrize("text", WELL_KNOWN)
    async def test_it_has_the_ones_that_everybody_knows_and_our_rules_allow(self, text: str) -> None:
        assert await BreachedPasswordList().contains(Password.chosen(text))

    def test_its_records_are_sorted_each_is_there_once_and_they_are_as_many_as_the_docstring_says(self) -> None:
        content = FILE.read_bytes()
        records = [content[start : start + RECORD_BYTES] for start in range(0, len(content), RECORD_BYTES)]
        assert records == sorted(set(records))
        assert len(records) == 95_692

    async def test_ten_thousand_passwords_of_nobody_are_not_on_it(self) -> None:
        shipped = BreachedPasswordList()
        assert not any([await shipped.contains(Password(f"Nobody's password {number}")) for number in range(10_000)])


class TestGenerating:
    async def test_lists_in_each_format_make_one_list_of_what_could_pass(self, tmp_path: Path) -> None:
        plain, packed, array, file = (tmp_path / name for name in ("a.txt", "b.txt.gz", "c.json", "out.bin"))
        plain.write_bytes(b"First pass 1\r\nfirst PASS 1\nshort1A\nno digit at all\n1234567890a\nbroken \xff bytes 1\n")
        packed.write_bytes(gzip.compress("Zweites Paßwort 2\n".encode()))
        array.write_text(json.dumps(["third word 3", "x" * 98 + "Y12"]))
        assert write([plain, packed, array], file) == 3
        breached = BreachedPasswordList(file)
        for text in ("First Pass 1", "ZWEITES PASSWORT 2", "Third Word 3"):
            assert await breached.contains(Password(text))
        assert not await breached.contains(Password("short1A"))

    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    async def test_first_and_last_record_are_found_in_a_list_of_any_length(self, tmp_path: Path, count: int) -> None:
        words, file = [f"Some word {number}" for number in range(count)], tmp_path / "out.bin"
        (tmp_path / "list.txt").write_text("\n".join(words))
        write([tmp_path / "list.txt"], file)
        assert all([await BreachedPasswordList(file).contains(Password(word)) for word in words])
        assert not await BreachedPasswordList(file).contains(Password("Some word 99"))
