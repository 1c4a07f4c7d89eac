"""What every partner promises, over HTTP and in memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from adapters.partner.http import HttpPartner
from adapters.partner.unconfigured import NoPartner
from application.ports.partner import Partner
from domain.partner import ExternalApiError, ExternalServiceNotConfigured, ExternalServiceUnavailable
from tests.fakes import FakePartner
from tests.partner_server import PartnerServer, drops, gives, partner_server, says


@dataclass
class Peer:
    """A partner, and what tells it how to answer."""

    partner: Partner
    there: FakePartner | PartnerServer

    def has(self, path: str, document: Any) -> None:
        if isinstance(self.there, FakePartner):
            self.there.documents[path] = document
        else:
            self.there.acts[path] = [gives(document)]

    def refuses(self, path: str, status: int) -> None:
        if isinstance(self.there, FakePartner):
            self.there.statuses[path] = status
        else:
            self.there.acts[path] = [says(status)]

    def is_away(self, path: str) -> None:
        if isinstance(self.there, FakePartner):
            self.there.away.add(path)
        else:
            self.there.acts[path] = [drops]


@pytest.fixture(params=["http", "memory"])
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    if request.param == "memory":
        fake = FakePartner()
        yield Peer(fake, fake)
        return
    async with partner_server() as server:
        partner = HttpPartner(server.url, 60, 4)
        try:
            yield Peer(partner, server)
        finally:
            await partner.close()


@pytest.mark.parametrize("document", [{"a": [1, None, "é"]}, [], "text", 1.5, None, True])
async def test_its_data_comes_as_it_is(peer: Peer, document: Any) -> None:
    peer.has("/data", document)

    assert await peer.partner.data() == document


async def test_its_users_come_by_their_ids(peer: Peer) -> None:
    peer.has("/users/7", {"id": 7})
    peer.has("/users/9223372036854775807", {"id": "the last"})

    assert await peer.partner.user(7) == {"id": 7}
    assert await peer.partner.user(2**63 - 1) == {"id": "the last"}


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_an_error_status_is_told_with_what_it_was(peer: Peer, status: int) -> None:
    peer.refuses("/data", status)

    with pytest.raises(ExternalApiError) as refused:
        await peer.partner.data()

    assert refused.value.upstream_status == status


async def test_one_that_gives_no_answer_is_unavailable(peer: Peer) -> None:
    peer.is_away("/users/1")
    peer.has("/users/2", {})

    with pytest.raises(ExternalServiceUnavailable) as refused:
        await peer.partner.user(1)

    assert refused.value.retry_after >= 1
    assert await peer.partner.user(2) == {}


async def test_where_none_is_configured_every_call_says_so() -> None:
    partner = NoPartner()

    for call in (partner.data(), partner.user(1)):
        with pytest.raises(ExternalServiceNotConfigured):
            await call
    await partner.close()
