"""Statements that are compiled once: what goes in comes out, and every call gets what it asked for."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Dialect, Text, bindparam, cast, insert, literal, select
from sqlmodel import col

from adapters.persistence import postgres, sqlite
from adapters.persistence.database import Database, NotUnique
from adapters.persistence.rows import UserRow
from adapters.persistence.statements import PreparedStatements, Statement, has_word, now_ms, prepare
from adapters.persistence.users import BY_ID, SAVE
from tests.contracts.stores import Store

DIALECTS: Final = {"sqlite": sqlite.DIALECT, "postgres": postgres.DIALECT}
NEPAL: Final = timezone(timedelta(hours=5, minutes=45))
COLUMNS: Final = (
    "id", "email", "full_name", "password_hash", "is_active", "is_verified", "is_superuser",
    "created_at", "updated_at", "last_active", "search",
)  # fmt: skip
ADD: Final = Statement(insert(UserRow).values({name: bindparam(name) for name in COLUMNS}))
FIND: Final = Statement(select(*(getattr(UserRow, name) for name in COLUMNS)).where(col(UserRow.id) == bindparam("at")))
ECHO: Final = Statement(select(cast(bindparam("number"), BigInteger), cast(bindparam("truth"), Boolean)))
NOW: Final = Statement(select(now_ms()))


def a_row(**changes: Any) -> dict[str, Any]:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    values: dict[str, Any] = {
        "id": 1, "email": "ada@example.org", "full_name": None, "password_hash": "", "is_active": True,
        "is_verified": False, "is_superuser": False, "created_at": moment, "updated_at": moment, "last_active": None,
        "search": "",
    }  # fmt: skip
    return values | changes


async def round_trip(database: Database, **changes: Any) -> dict[str, Any]:
    """The row, as it comes back."""
    row = a_row(**changes)
    async with database.transaction() as transaction:
        await transaction.run(ADD, **row)
    found = await database.first(FIND, at=row["id"])
    assert found is not None
    return dict(zip(COLUMNS, found, strict=True))


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=NEPAL),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 0, 0, tzinfo=timezone(-timedelta(hours=12))),
    ],
    ids=str,
)
async def test_a_moment_comes_back_the_same_to_the_microsecond_and_in_utc(database: Database, moment: datetime) -> None:
    row = await round_trip(database, created_at=moment, last_active=moment)

    assert row["created_at"] == row["last_active"] == moment
    assert row["created_at"].utcoffset() == timedelta()


@pytest.mark.parametrize("number", [1, 2**31, 2**53 + 1, 2**63 - 1])
async def test_an_id_has_sixty_four_bits(database: Database, number: int) -> None:
    assert (await round_trip(database, id=number))["id"] == number


async def test_what_is_unknown_stays_unknown_and_what_is_empty_stays_empty(database: Database) -> None:
    row = await round_trip(database, full_name=None, last_active=None, search="")

    assert (row["full_name"], row["last_active"], row["search"]) == (None, None, "")


@pytest.mark.parametrize("truth", [True, False, None])
async def test_a_truth_value_comes_back_as_one(database: Database, truth: bool | None) -> None:
    row = await database.first(ECHO, number=0, truth=truth)

    assert row is not None
    assert row[1] is truth


async def test_a_row_of_booleans_compares_with_true_and_false(database: Database) -> None:
    row = await round_trip(database, is_active=True, is_verified=False)

    assert (row["is_active"], row["is_verified"]) == (True, False)


@pytest.mark.parametrize(
    "text", ["Ünïcödé 🧮", "'; DROP TABLE users; --", '"', "\\", "%s ? :name $1", "\t\r\n", "\ufeff"]
)
async def test_text_is_never_read_as_sql(database: Database, text: str) -> None:
    assert (await round_trip(database, full_name=text))["full_name"] == text


async def test_calls_at_once_each_get_their_own_values(database: Database) -> None:
    rows = await asyncio.gather(*(database.first(ECHO, number=n, truth=bool(n % 2)) for n in range(100)))

    assert [tuple(row or ()) for row in rows] == [(n, bool(n % 2)) for n in range(100)]


async def test_a_statement_that_changes_rows_says_how_many(database: Database, sql_store: Store) -> None:
    user = await sql_store.has()
    row = {name: value for name, value in a_row().items() if name != "id"}
    async with database.transaction() as transaction:
        assert await transaction.run(SAVE, user_id=user.id, **row) == 1
        assert await transaction.run(SAVE, user_id=4711, **row) == 0


async def test_what_must_be_unique_is_said_to_be_taken(database: Database) -> None:
    await round_trip(database, id=1)

    for same in ({"id": 1, "email": "grace@example.org"}, {"id": 2}):
        with pytest.raises(NotUnique):
            await round_trip(database, **same)


async def test_a_value_that_can_not_be_right_is_an_error_and_no_outage(database: Database) -> None:
    with pytest.raises((OverflowError, asyncpg.DataError)):
        await database.first(ECHO, number=2**63, truth=None)


async def test_the_clock_is_the_databases_and_counts_milliseconds(database: Database) -> None:
    row = await database.first(NOW)

    assert row is not None
    assert abs(row[0] / 1000 - datetime.now(UTC).timestamp()) < 3600


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_statement_is_compiled_once(dialect: Dialect) -> None:
    prepared = PreparedStatements(dialect)

    assert prepared[BY_ID] is prepared[BY_ID]
    assert len(prepared) == 1


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_parameter_that_occurs_twice_is_given_once(dialect: Dialect) -> None:
    prepared = prepare(Statement(select(bindparam("a", type_=BigInteger) + bindparam("a", type_=BigInteger))), dialect)

    assert {name for name, _, _ in prepared.parameters} == {"a"}
    assert set(prepared.bind({"a": 7})) == {7}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_constants_of_a_statement_need_not_be_given(dialect: Dialect) -> None:
    assert prepare(Statement(select(literal("constant"))), dialect).bind({}) == ["constant"]


HAS_WORD: Final = Statement(select(has_word(bindparam("text", type_=Text), bindparam("word", type_=Text))))
CHARACTERS: Final = st.sampled_from("abAB%_!\\ '[*?") | st.characters(codec="utf-8", exclude_characters="\0")
TEXTS: Final = st.text(CHARACTERS, max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(before=TEXTS, word=TEXTS, after=TEXTS, other=TEXTS)
async def test_a_word_is_found_wherever_it_is_and_nowhere_else(
    database: Database, before: str, word: str, after: str, other: str
) -> None:
    without_wildcards = word.replace("%", "xx").replace("_", "x")
    for text in (before + word + after, before + word.swapcase() + after, before + after, without_wildcards, other):
        row = await database.first(HAS_WORD, text=text, word=word)
        assert row is not None
        assert bool(row[0]) is (word in text)
