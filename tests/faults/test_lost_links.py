"""A network that loses everything, and tells nobody."""

from collections.abc import Iterator

import pytest
from sqlmodel import select

from adapters.persistence.postgres import PostgresDatabase
from adapters.persistence.statements import Statement
from domain.errors import Unavailable
from tests.conftest import RUN_DIRECTORY
from tests.faults.network import Host, Network
from tests.postgres_server import PostgresServer, PostgresUnavailable

ONE = Statement(select(1))


@pytest.fixture
def far_postgres(request: pytest.FixtureRequest, hosts: Network) -> Iterator[tuple[Host, PostgresServer]]:
    host = hosts.host("db")
    try:
        server = request.config.stash[RUN_DIRECTORY].new_server(address=host.address, within=host.inside)
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))
    yield host, server
    server.stop_immediately()


async def test_a_statement_that_gets_lost_is_given_up_because_nobody_answers(
    far_postgres: tuple[Host, PostgresServer], caplog: pytest.LogCaptureFixture
) -> None:
    """And not because time is up: TCP alone would go on for as long again as the outage has lasted."""
    host, server = far_postgres
    server.create_database("portico")
    database = PostgresDatabase(server.url_over_network("portico"))
    await database.open()
    assert await database.first(ONE) == (1,)
    host.cut_off()
    with pytest.raises(Unavailable):
        await database.first(ONE)
    assert "ConnectionDoesNotExistError" in caplog.text
    host.reconnect()
    assert await database.first(ONE) == (1,)
    await database.close()
