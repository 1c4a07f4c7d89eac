import json
from dataclasses import asdict, fields
from typing import Any, get_args

import pytest

from application.correlation import request_id
from application.ports.jobs import NewJob
from application.reactions import REACTIONS, jobs_for, payload_of
from domain.events import EmailChanged, EmailChangeRequested, Event, ItemCreated, UserRegistered
from domain.items import Item, ItemId
from domain.users import UserId
from tests.builders import World

EVENTS = get_args(Event)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_what_follows_from_every_event_is_said(kind: type[Event]) -> None:
    assert kind in REACTIONS


def test_every_reaction_has_a_handler(world: World) -> None:
    assert {kind for kinds in REACTIONS.values() for kind in kinds} <= set(world.handlers)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_an_event_survives_being_written_down(kind: type[Event]) -> None:
    values: dict[str, Any] = {field.name: 1 if field.type is int else "text" for field in fields(kind)}
    event = kind(**values)
    for job in jobs_for(event):
        assert kind(**json.loads(json.dumps(job.payload))) == event


def test_a_job_carries_what_the_event_says() -> None:
    assert jobs_for(UserRegistered(7)) == [NewJob("mail_verification", {"user_id": 7})]


def test_of_a_thing_a_job_carries_which_and_whose_it_is(world: World) -> None:
    now = world.clock.now()
    item = Item(id=ItemId(7), title="Milk", owner_id=UserId(1), created_at=now, updated_at=now)
    assert payload_of(ItemCreated(item)) == {"item_id": 7, "owner_id": 1}


def test_asking_for_another_address_is_told_to_both() -> None:
    event = EmailChangeRequested(7, old_email="old@example.org", new_email="new@example.org", password_mark="a mark")
    assert jobs_for(event) == [
        NewJob("mail_email_change", asdict(event)),
        NewJob("mail_email_change_requested", asdict(event)),
    ]
    assert [job.kind for job in jobs_for(EmailChanged(7, "old@example.org", "new@example.org"))] == [
        "mail_email_changed"
    ]


async def test_what_a_transaction_announced_is_there_once_it_commits(world: World) -> None:
    async with world.store.begin() as work:
        work.announce(UserRegistered(7))
        assert await world.store.jobs.list_jobs(state=None, limit=10) == []
    assert [job.kind for job in await world.store.jobs.list_jobs(state=None, limit=10)] == ["mail_verification"]


async def test_nothing_follows_from_a_transaction_that_was_undone(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with world.store.begin() as work:
            work.announce(UserRegistered(7))
            raise ZeroDivisionError
    assert await world.store.jobs.list_jobs(state=None, limit=10) == []
    assert world.store.announced == []


async def test_a_mail_carries_the_request_that_caused_it(world: World) -> None:
    ada = await world.has(is_verified=False)
    token = request_id.set("request-1")
    async with world.store.begin() as work:
        work.announce(UserRegistered(ada.id))
    request_id.reset(token)
    await world.do_jobs()
    assert world.mailer.request_ids == ["request-1"]
