"""A network that loses everything, and tells nobody."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlmodel import select

from adapters.persistence.postgres import PostgresDatabase
from adapters.persistence.statements import Statement
from domain.errors import Unavailable
from tests.conftest import RUN_DIRECTORY
from tests.faults.network import Host, NetworkUnavailable, network
from tests.postgres_server import PostgresServer, PostgresUnavailable

ONE = Statement(select(1))


@pytest.fixture
def far_postgres(request: pytest.FixtureRequest) -> Iterator[tuple[Host, PostgresServer]]:
    with ExitStack() as stack:
        try:
            host = stack.enter_context(network()).host("db")
            server = request.config.stash[RUN_DIRECTORY].new_server(address=host.address, within=host.inside)
        except (NetworkUnavailable, PostgresUnavailable) as reason:
            pytest.skip(str(reason))
        stack.callback(server.stop_immediately)
        yield host, server


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
