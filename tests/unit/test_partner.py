"""What the partner's API knows."""

import pytest

from adapters.partner.unconfigured import NoPartner
from application.partner import FailedUser, GetExternalData, GetPartnerUsers
from domain.partner import ExternalServiceNotConfigured
from tests.builders import World
from tests.fakes import FakePartner


async def test_the_data_come_as_the_partner_gives_them(world: World) -> None:
    actor = await world.actor(await world.has())

    assert await GetExternalData(FakePartner({"/data": [1]}))(actor) == [1]


async def test_users_come_in_the_order_asked_each_once_all_at_once(world: World) -> None:
    actor = await world.actor(await world.has())
    partner = FakePartner({f"/users/{number}": {"id": number} for number in (1, 2, 3)})

    found = await GetPartnerUsers(partner)(actor, [3, 1, 3, 2, 1])

    assert found.users == [{"id": 3}, {"id": 1}, {"id": 2}]
    assert found.failed == []
    assert sorted(partner.asked) == ["/users/1", "/users/2", "/users/3"]
    assert partner.most_at_once == 3


async def test_one_that_fails_fails_no_other(world: World) -> None:
    actor = await world.actor(await world.has())
    partner = FakePartner({"/users/2": None, "/users/4": {}}, statuses={"/users/3": 500}, away={"/users/5"})

    found = await GetPartnerUsers(partner)(actor, [1, 2, 3, 4, 5])

    assert found.users == [None, {}]
    assert found.failed == [
        FailedUser(1, "External API error"),
        FailedUser(3, "External API error"),
        FailedUser(5, "External service unavailable"),
    ]


async def test_without_a_partner_there_is_nothing_to_ask(world: World) -> None:
    actor = await world.actor(await world.has())

    with pytest.raises(ExternalServiceNotConfigured):
        await GetPartnerUsers(NoPartner())(actor, [1, 2])
