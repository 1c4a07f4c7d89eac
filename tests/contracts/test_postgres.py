"""What only PostgreSQL has to prove: that it comes back by itself, and that no connection is lost or left dirty."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy import func, select, text

from adapters.persistence.jobs import ANY_DUE
from adapters.persistence.migrate import migrate
from adapters.persistence.postgres import DIALECT, POOL_SIZE, PostgresDatabase
from adapters.persistence.statements import Statement, prepare
from adapters.persistence.work import PING
from application.ports.jobs import NewJob
from application.ports.persistence import DatabaseFull
from domain.errors import Unavailable
from domain.users import User
from tests.contracts.stores import Store, store_on
from tests.fakes import SettableClock
from tests.postgres_server import PostgresServer
from tests.running_app import eventually

SLEEP: Final = Statement(select(func.pg_sleep(3600)))
DISK_FULL: Final = Statement(text("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$"))
WRONG: Final = Statement(select(text("no_such_column")))
DEADLINE: Final = 60.0


@pytest.fixture
async def database(migrated_postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(migrated_postgres_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def store(database: PostgresDatabase, clock: SettableClock) -> Store:
    return store_on(database, clock)


@pytest.fixture
def own_url(own_postgres: PostgresServer) -> str:
    """A migrated database on a server of this test's own."""
    own_postgres.create_database("portico")
    migrate(own_postgres.url("portico"))
    return own_postgres.url("portico")


@pytest.fixture
async def own_database(own_url: str) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(own_url)
    await database.open()
    yield database
    await database.close()


async def name_of(store: Store, user: User) -> str:
    return (await store.reads.user(user.id)).email


async def ask(url: str, statement: str, *values: Any) -> Any:
    """The one value of a statement, run on a connection that isn't the adapter's."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


async def connections_in(url: str, state: str) -> int:
    """How many connections of the adapter are in that state."""
    count: int = await ask(
        url,
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'portico' AND datname = current_database() AND state LIKE $1",
        state,
    )
    return count


async def until_there_are(count: int, url: str, state: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while await connections_in(url, state) != count:  # noqa: ASYNC110 - it is the server's state
            await asyncio.sleep(0.01)


async def until_it_answers(store: Store) -> None:
    """Return once it does. On a busy machine a ping may take longer than a short limit allows, too."""
    async with asyncio.timeout(DEADLINE):
        while True:
            with suppress(Unavailable):
                return await store.reads.ping()


class TestOutages:
    async def test_a_server_that_crashes_is_unavailable_and_then_works_again_by_itself(
        self, own_postgres: PostgresServer, own_database: PostgresDatabase, clock: SettableClock
    ) -> None:
        store = store_on(own_database, clock)
        user = await store.has("ada@example.org")
        await asyncio.gather(*(store.reads.ping() for _ in range(POOL_SIZE)))  # so that many connections break

        await asyncio.to_thread(own_postgres.stop_immediately)
        for _ in range(2):
            answers = await asyncio.gather(
                *(store.reads.user(user.id) for _ in range(2 * POOL_SIZE)),
                store.has("grace@example.org"),
                store.jobs.claim("a worker", limit=1, lease=timedelta(minutes=1)),
                store.jobs.add(NewJob("work")),
                own_database.schema_revision(),
                return_exceptions=True,
            )
            assert {type(answer) for answer in answers} == {Unavailable}

        await asyncio.to_thread(own_postgres.start)
        emails = await asyncio.gather(*(name_of(store, user) for _ in range(2 * POOL_SIZE)))

        assert set(emails) == {"ada@example.org"}
        assert (await store.has("grace@example.org")).id > user.id
        assert own_database.connections()["used"] == 0

    async def test_a_crash_in_the_middle_of_a_transaction_undoes_it(
        self, own_postgres: PostgresServer, own_database: PostgresDatabase, clock: SettableClock
    ) -> None:
        store = store_on(own_database, clock)
        user = await store.has("ada@example.org", full_name="Ada")

        with pytest.raises(Unavailable):
            async with store.begin() as work:
                changed = await work.users.get(user.id)
                changed.full_name = "somebody else"
                await work.users.save(changed)
                await asyncio.to_thread(own_postgres.stop_immediately)

        await asyncio.to_thread(own_postgres.start)
        assert (await store.reads.user(user.id)).full_name == "Ada"

    async def test_who_waits_for_jobs_hears_of_them_again_after_a_crash(
        self, own_postgres: PostgresServer, own_database: PostgresDatabase, clock: SettableClock
    ) -> None:
        store = store_on(own_database, clock)
        await store.jobs.wait(timedelta(seconds=60))  # ends once it listens
        waiting = asyncio.create_task(store.jobs.wait(timedelta(seconds=60)))
        await asyncio.to_thread(own_postgres.stop_immediately)
        await asyncio.to_thread(own_postgres.start)

        await store.jobs.add(NewJob("added while nobody listened"))
        async with asyncio.timeout(DEADLINE):
            await waiting
        hearing = asyncio.create_task(store.jobs.wait(timedelta(seconds=60)))
        await store.jobs.add(NewJob("added while somebody listens"))

        async with asyncio.timeout(DEADLINE):
            await hearing

    async def test_connections_that_an_operator_ends_are_replaced(
        self, database: PostgresDatabase, store: Store, migrated_postgres_url: str
    ) -> None:
        user = await store.has()
        await asyncio.gather(*(store.reads.ping() for _ in range(POOL_SIZE)))
        await ask(
            migrated_postgres_url,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        await until_there_are(0, migrated_postgres_url, "%")

        answers = await asyncio.gather(*(name_of(store, user) for _ in range(50)), return_exceptions=True)
        assert {answer if isinstance(answer, str) else type(answer) for answer in answers} <= {user.email, Unavailable}

        assert await name_of(store, user) == user.email

    @pytest.mark.parametrize(
        "url", ["postgresql://postgres@/{name}?host=/nowhere", "postgresql://postgres@127.0.0.1:1/x"]
    )
    async def test_a_server_that_is_not_there_is_unavailable(self, url: str, clock: SettableClock) -> None:
        database = PostgresDatabase(url)
        await database.open()
        with pytest.raises(Unavailable):
            await store_on(database, clock).reads.ping()
        with pytest.raises(Unavailable):
            await store_on(database, clock).has()
        await database.close()

    async def test_a_database_that_is_not_there_is_unavailable(
        self, postgres: PostgresServer, clock: SettableClock
    ) -> None:
        database = PostgresDatabase(postgres.url("no_such_database"))
        await database.open()
        with pytest.raises(Unavailable):
            await store_on(database, clock).reads.ping()
        await database.close()

    async def test_a_connection_that_breaks_while_it_is_closed_keeps_nobody_from_closing_all(
        self, migrated_postgres_url: str, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where the server goes away at that very moment."""
        database = PostgresDatabase(migrated_postgres_url)
        await database.open()
        await store_on(database, clock).reads.ping()

        async def breaks(_: asyncpg.Pool) -> None:
            raise BrokenPipeError

        monkeypatch.setattr(asyncpg.Pool, "close", breaks)
        await database.close()

        with pytest.raises(Unavailable):
            await store_on(database, clock).reads.ping()

    async def test_a_replica_that_only_reads_is_unavailable_for_writers(
        self, store: Store, migrated_postgres_url: str, clock: SettableClock
    ) -> None:
        user = await store.has("ada@example.org")
        database = PostgresDatabase(f"{migrated_postgres_url}&default_transaction_read_only=on")
        await database.open()
        replica = store_on(database, clock)

        with pytest.raises(Unavailable):
            await replica.has("grace@example.org")

        assert await name_of(replica, user) == "ada@example.org"
        await database.close()


class TestConnections:
    async def test_many_more_tasks_than_connections_all_get_their_turn(
        self, database: PostgresDatabase, store: Store
    ) -> None:
        user = await store.has()

        async def change(letter: int) -> None:
            async with store.begin() as work:
                await work.users.record_activity(user.id, user.created_at + timedelta(minutes=letter))

        await asyncio.gather(
            *(name_of(store, user) for _ in range(10 * POOL_SIZE)), *(change(n) for n in range(5 * POOL_SIZE))
        )

        assert database.connections()["used"] == 0
        assert sum(database.connections().values()) <= POOL_SIZE

    async def test_connections_go_to_those_who_asked_first_and_not_to_those_who_just_come_by(
        self, database: PostgresDatabase
    ) -> None:
        crowd = 20 * POOL_SIZE
        served: list[int] = []

        async def ask(number: int) -> None:
            async with database.transaction():
                served.append(number)

        async with AsyncExitStack() as held:
            for _ in range(POOL_SIZE - 1):
                await held.enter_async_context(database.transaction())
            async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
                for number in range(crowd):
                    group.create_task(ask(number))
                    await asyncio.sleep(0)  # some come at the very moment in which the connection is free

        assert served == list(range(crowd))

    async def test_who_waits_longest_for_a_connection_gets_the_next_and_nobody_who_comes_by(
        self, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("adapters.persistence.postgres.WAIT", DEADLINE)
        waiting = 3 * POOL_SIZE
        gives_back = [asyncio.Event() for _ in range(POOL_SIZE)]
        holds = asyncio.Semaphore(0)
        order: list[int] = []

        async def hold(until: asyncio.Event) -> None:
            async with database.transaction():
                holds.release()
                await until.wait()

        async def use(number: int) -> None:
            async with database.transaction() as transaction:
                order.append(number)
                await transaction.first(PING)

        holders = [asyncio.create_task(hold(event)) for event in gives_back]
        for _ in holders:
            await holds.acquire()
        waiters = [asyncio.create_task(use(number)) for number in range(waiting)]
        await asyncio.sleep(0)  # each has come by now
        gives_back[0].set()
        others: list[asyncio.Task[None]] = []
        while not all(waiter.done() for waiter in waiters):
            if len(others) < 500:  # one comes by at every turn of the loop
                others.append(asyncio.create_task(use(waiting + len(others))))
            await asyncio.sleep(0)
        await asyncio.gather(*waiters, *others)
        for event in gives_back:
            event.set()
        await asyncio.gather(*holders, return_exceptions=True)  # PostgreSQL may have ended one that held on for long

        assert order == list(range(waiting + len(others)))

    async def test_who_gets_no_connection_in_time_gives_up(
        self, database: PostgresDatabase, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("adapters.persistence.postgres.WAIT", 0.1)
        sleepers = [asyncio.create_task(database.first(SLEEP)) for _ in range(POOL_SIZE)]
        await eventually(lambda: database.connections()["used"] == POOL_SIZE)

        for give_up in (store.reads.ping(), store.has()):
            with pytest.raises(Unavailable):
                await give_up

        for sleeper in sleepers:
            sleeper.cancel()
        await asyncio.gather(*sleepers, return_exceptions=True)
        monkeypatch.undo()
        await store.reads.ping()

    async def test_a_cancelled_query_ends_on_the_server_and_gives_its_connection_back(
        self, database: PostgresDatabase, store: Store, migrated_postgres_url: str
    ) -> None:
        sleeper = asyncio.create_task(database.first(SLEEP))
        await until_there_are(1, migrated_postgres_url, "active")

        sleeper.cancel()
        await asyncio.gather(sleeper, return_exceptions=True)

        await until_there_are(0, migrated_postgres_url, "active")
        assert database.connections()["used"] == 0
        await store.reads.ping()

    async def test_a_query_that_takes_too_long_is_unavailable_and_ends_on_the_server(
        self, migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("adapters.persistence.postgres.COMMAND_TIMEOUT", 0.2)
        database = PostgresDatabase(migrated_postgres_url)
        await database.open()

        with pytest.raises(Unavailable):
            await database.first(SLEEP)

        await until_there_are(0, migrated_postgres_url, "active")
        await database.close()

    @pytest.mark.parametrize("limit", ["STATEMENT_TIMEOUT", "IDLE_TIMEOUT"])
    async def test_a_limit_of_the_servers_is_unavailable_and_leaves_nothing(
        self, migrated_postgres_url: str, clock: SettableClock, monkeypatch: pytest.MonkeyPatch, limit: str
    ) -> None:
        monkeypatch.setattr(f"adapters.persistence.postgres.{limit}", 0.2)
        database = PostgresDatabase(migrated_postgres_url)
        await database.open()
        store = store_on(database, clock)
        try:
            with pytest.raises(Unavailable):
                async with database.transaction() as transaction:
                    if limit == "STATEMENT_TIMEOUT":
                        await transaction.first(SLEEP)
                    await until_there_are(0, migrated_postgres_url, "idle in transaction")
            assert database.connections()["used"] == 0
            await until_it_answers(store)
        finally:
            await database.close()

    async def test_a_server_whose_disk_is_full_is_told_from_one_that_is_away(
        self, database: PostgresDatabase, store: Store
    ) -> None:
        with pytest.raises(DatabaseFull):
            async with database.transaction() as transaction:
                await transaction.run(DISK_FULL)

        assert (await store.has()).id == 1

    async def test_a_transaction_that_fails_leaves_no_open_transaction(
        self, database: PostgresDatabase, store: Store, migrated_postgres_url: str
    ) -> None:
        with pytest.raises(asyncpg.UndefinedColumnError):
            async with database.transaction() as transaction:
                await transaction.first(WRONG)

        assert await connections_in(migrated_postgres_url, "idle in transaction%") == 0
        assert (await store.has()).id == 1

    async def test_a_deadlock_makes_one_of_the_two_try_again_later(
        self, database: PostgresDatabase, store: Store
    ) -> None:
        users = [await store.has(f"user{number}@example.org") for number in range(2)]
        both_hold_one = asyncio.Barrier(2)

        async def lock(first: User, second: User) -> None:
            async with store.begin() as work:
                await work.users.get(first.id)
                await both_hold_one.wait()
                await work.users.get(second.id)

        outcomes = await asyncio.gather(lock(*users), lock(*users[::-1]), return_exceptions=True)

        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "Unavailable"]
        assert database.connections()["used"] == 0


async def test_looking_for_due_jobs_takes_the_index(migrated_postgres_url: str) -> None:
    connection = await asyncpg.connect(migrated_postgres_url)
    try:
        await connection.execute(
            "INSERT INTO jobs (id, kind, payload, created_at, due_at, attempt)"
            " SELECT n, 'work', '{}', 0, 4102444800000 + n, 0 FROM generate_series(1, 5000) AS n; ANALYZE jobs"
        )
        prepared = prepare(ANY_DUE, DIALECT)
        plan = await connection.fetch(f"EXPLAIN {prepared.sql}", *prepared.bind({"lasting": 4}))
    finally:
        await connection.close()

    assert "ix_jobs_due_at" in " ".join(row[0] for row in plan)


async def test_a_worker_does_not_wait_for_another_that_is_just_claiming(
    store: Store, migrated_postgres_url: str
) -> None:
    for _ in range(2):
        await store.jobs.add(NewJob("work"))
    connection = await asyncpg.connect(migrated_postgres_url)
    try:
        async with connection.transaction():
            await connection.fetch("SELECT 1 FROM jobs ORDER BY due_at LIMIT 1 FOR UPDATE")

            async with asyncio.timeout(DEADLINE):
                claimed = await store.jobs.claim("a worker", limit=2, lease=timedelta(minutes=1))
    finally:
        await connection.close()

    assert len(claimed) == 1


async def test_who_can_not_hear_of_jobs_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.persistence.postgres.RECONNECT_PAUSE", 0)
    tries = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(writer)
        writer.close()

    async with await asyncio.start_unix_server(hang_up, tmp_path / ".s.PGSQL.5432"):
        database = PostgresDatabase(f"postgresql://postgres@/portico?host={tmp_path}")
        await database.open()
        await database.wait_for("a channel", timedelta())
        await eventually(lambda: len(tries) >= 5)
        await database.close()

    said = [record.getMessage() for record in caplog.records if "news" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("news of jobs can't be heard: ")
