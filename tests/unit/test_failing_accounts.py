"""Every call of every port fails in what is done with accounts, items and mail."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final

import pytest

from application.activity import Activity
from application.items import CreateItem, DeleteItem, EditItem, GetItem, ListItems
from application.partner import GetExternalData, GetPartnerUsers
from application.realtime import OpenConnection
from application.sessions import ListSessions, RevokeOtherSessions, RevokeSession
from application.users import (
    CreateSuperuser,
    DeleteUser,
    GetUser,
    ListUsers,
    PingUser,
    RenameUser,
    UpdateUser,
)
from domain.errors import Refusal
from domain.items import ItemChange, ItemSort
from domain.pages import PageRequest
from domain.passwords import Password
from domain.sessions import RefreshTokenReused
from domain.users import Email, InvalidCredentials, UserChange
from tests.builders import ANOTHER_PASSWORD, LAPTOP, PASSWORD, World, a_job
from tests.unit.failing_ports import Fuse, Wiring
from tests.unit.failing_runs import must_survive_any_failure
from tests.unit.failing_scenes import CLIENT, Case, Do, Scene, at_once, handler, on_begin, on_store


def _much_later(scene: Scene, do: Do) -> Awaitable[Any]:
    scene.world.clock.advance(timedelta(days=400))
    return do(a_job("sweep_expired"))


async def refused(doing: Awaitable[Any], by: type[Refusal]) -> None:
    """It goes well if that is the answer."""
    with pytest.raises(by):
        await doing


async def has_spent_the_token(scene: Scene) -> None:
    """Long ago: whoever comes with it now has stolen it, or was stolen from."""
    await scene.world.refresh(scene.pair.refresh_token)
    scene.world.clock.advance(timedelta(hours=1))


new = Password(ANOTHER_PASSWORD)
old = Password(PASSWORD)
CHANGE: Final = {"user_id": 1, "old_email": "ada@example.org", "new_email": "ada@example.net"}
MESSAGE: Final = {"email": Email("bob@example.org"), "subject": "Tea", "message": "At five?"}
CASES: Final[dict[str, Case]] = {
    "register": Case(
        lambda s: s.world.register,
        lambda s, do: do(email=Email("new@example.org"), password=old, full_name=None, client=CLIENT),
    ),
    "create a superuser": Case(
        lambda s: CreateSuperuser(s.store.begin, s.world.hash_new_password, s.world.clock),
        lambda s, do: do(email=Email("boss@example.org"), password=old),
    ),
    "promote": Case(
        lambda s: CreateSuperuser(s.store.begin, s.world.hash_new_password, s.world.clock),
        lambda s, do: do(email=s.ada.user.email, password=new),
    ),
    "get a user": on_store(GetUser, lambda s, do: do(s.ada, s.ada.user.id)),
    "list users": on_store(ListUsers, lambda s, do: do(s.root, PageRequest(), q="ada", is_active=None)),
    "rename": on_begin(RenameUser, lambda s, do: do(s.ada, full_name="Ada")),
    "update a user": on_begin(
        UpdateUser, lambda s, do: do(s.root, s.ada.user.id, UserChange(email=Email("ada@example.net")))
    ),
    "delete a user": on_begin(DeleteUser, lambda s, do: do(s.root, s.ada.user.id)),
    "delete oneself": Case(lambda s: s.world.delete_own_account, lambda s, do: do(s.ada, password=old)),
    "ping": Case(lambda s: PingUser(s.store.begin, s.store, s.world.clock), lambda s, do: do(s.root, s.ada.user.id)),
    "sign in": Case(lambda s: s.world.sign_in, lambda s, do: do(email=s.ada.user.email, password=old, device=LAPTOP)),
    "sign in with a hash that is made anew": Case(
        lambda s: s.world.sign_in, lambda s, do: do(email="old@example.org", password=old, device=LAPTOP)
    ),
    "sign in with a wrong password": Case(
        lambda s: s.world.sign_in,
        lambda s, do: refused(do(email=s.ada.user.email, password=new, device=LAPTOP), InvalidCredentials),
        once=True,
    ),
    "refresh with a token that was spent": Case(
        lambda s: s.world.refresh,
        lambda s, do: refused(do(s.pair.refresh_token), RefreshTokenReused),
        has_spent_the_token,
    ),
    "refresh": Case(lambda s: s.world.refresh, lambda s, do: do(s.pair.refresh_token)),
    "authenticate": Case(lambda s: s.world.authenticate, lambda s, do: do(s.pair.access_token)),
    "open a connection": Case(
        lambda s: OpenConnection(s.world.authenticate, s.world.tokens), lambda s, do: do(s.pair.access_token)
    ),
    "list sessions": on_store(ListSessions, lambda s, do: do(s.ada)),
    "revoke a session": on_begin(RevokeSession, lambda s, do: do(s.ada, s.ada.session_id)),
    "revoke the others": on_begin(RevokeOtherSessions, lambda s, do: do(s.ada)),
    "change the password": Case(lambda s: s.world.change_password, lambda s, do: do(s.ada, current=old, new=new)),
    "forget the password": Case(lambda s: s.world.forgot_password, lambda s, do: do(s.ada.user.email, client=CLIENT)),
    "reset the password": Case(lambda s: s.world.reset_password, lambda s, do: do(token=s.tokens["password"], new=new)),
    "verify": Case(lambda s: s.world.verify_email, lambda s, do: do(s.tokens["eve"])),
    "ask for the mail again": Case(
        lambda s: s.world.resend_verification, lambda s, do: do(Email("eve@example.org"), client=CLIENT)
    ),
    "ask for another address": Case(
        lambda s: s.world.request_email_change,
        lambda s, do: do(s.ada, new_email=Email("ada@example.net"), password=old, client=CLIENT),
    ),
    "change the address": Case(lambda s: s.world.change_email, lambda s, do: do(s.tokens["address"])),
    "create an item": Case(
        lambda s: CreateItem(s.store.begin, s.world.clock), lambda s, do: do(s.ada, title="Milk", description=None)
    ),
    "create an item once": at_once(
        Case(
            lambda s: CreateItem(s.store.begin, s.world.clock), lambda s, do: do(s.ada, title="Milk", description=None)
        )
    ),
    "get an item": on_store(GetItem, lambda s, do: do(s.ada, s.item.id)),
    "list items": on_store(
        ListItems, lambda s, do: do(s.ada, PageRequest(), sort=ItemSort("-created_at"), q="tea", owner_id=None)
    ),
    "edit an item": Case(
        lambda s: EditItem(s.store.begin, s.world.clock),
        lambda s, do: do(s.ada, s.item.id, ItemChange(title="Coffee"), versions=None),
    ),
    "delete an item": on_begin(DeleteItem, lambda s, do: do(s.ada, s.item.id, versions=None)),
    "remove items": handler("remove_items_of_user", lambda s: {"user_id": s.ada.user.id}),
    "remove changes": handler("remove_changes_of_user", lambda s: {"user_id": s.ada.user.id}),
    "record activity": handler("record_activity", lambda s: {"user_id": 1, "at": "2026-03-01T12:00:00+00:00"}),
    "mail a verification": handler("mail_verification", lambda s: {"user_id": s.eve_id}),
    "mail it again": handler("mail_verification_again", lambda s: {"email": "eve@example.org"}),
    "mail a reset": handler("mail_password_reset", lambda s: {"email": s.ada.user.email}),
    "mail an address change": handler("mail_email_change", lambda s: CHANGE),
    "mail that it was asked for": handler("mail_email_change_requested", lambda s: CHANGE),
    "mail that it was done": handler("mail_email_changed", lambda s: CHANGE),
    "mail about the password": handler("mail_password_changed", lambda s: {"user_id": 1}),
    "sweep": Case(lambda s: s.world.handlers["sweep_expired"], _much_later),
    "write a mail": Case(lambda s: s.world.send_email, lambda s, do: do(s.root, **MESSAGE)),
    "write a mail once": at_once(Case(lambda s: s.world.send_email, lambda s, do: do(s.root, **MESSAGE))),
    "send what was written": handler("mail_message", lambda s: MESSAGE),
    "get the partner's data": Case(lambda s: GetExternalData(s.partner), lambda s, do: do(s.ada), once=True),
    "get the partner's users": Case(
        lambda s: GetPartnerUsers(s.partner), lambda s, do: do(s.ada, [1, 2]), goes_on=True, once=True
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_whichever_call_fails_nothing_is_half_done_and_it_can_be_done_again(case: Case) -> None:
    await must_survive_any_failure(case)


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("number", range(4))
async def test_who_cant_be_written_down_as_active_is_written_down_the_next_time(number: int, afterwards: bool) -> None:
    world = World()
    ada = await world.has()
    fuse = Fuse(number, afterwards)
    activity: Activity = Wiring(fuse, [world.store, world.clock], world.store.begin)(world.activity)
    now = world.clock.now()
    activity.note(ada, now)
    await activity.write()
    assert len(fuse.calls) == number + 1
    await activity.write()
    assert (await world.store.user(ada.id)).last_active == now
