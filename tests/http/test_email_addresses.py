"""Confirming an address, and changing it."""

from datetime import timedelta
from typing import Any

import pytest

from tests.fakes import SettableClock
from tests.http.answers import outcome, text_of, work_done
from tests.running_app import PASSWORD, RunningApp, bearer

ADA = "ada@example.org"
NEW = "countess@example.org"


async def verify(app: RunningApp, token: str) -> Any:
    return await app.http.post("/auth/verify-email", json={"token": token})


async def resend(app: RunningApp, address: str = ADA) -> Any:
    return await app.http.post("/auth/verify-email/resend", json={"email": address})


async def ask(app: RunningApp, headers: dict[str, str], new_email: str = NEW, password: str = PASSWORD) -> Any:
    return await app.http.post("/users/me/email", json={"new_email": new_email, "password": password}, headers=headers)


async def change(app: RunningApp, token: str) -> Any:
    return await app.http.post("/auth/change-email", json={"token": token})


async def test_the_link_in_the_mail_confirms_the_address_once(app: RunningApp) -> None:
    user, ada = await app.user(ADA)
    token = await app.mailbox.token(ADA)

    first, second = await verify(app, token), await verify(app, token)

    assert first.status_code == 200
    assert first.json() == {"success": True, "message": "The email address is confirmed", "data": None}
    assert outcome(second) == (400, "invalid_token")
    seen = (await app.http.get("/users/me", headers=ada)).json()
    assert seen == user | {"is_verified": True, "updated_at": seen["updated_at"]}


async def test_a_link_to_confirm_works_for_a_day(app_with_clock: RunningApp, clock: SettableClock) -> None:
    app = app_with_clock
    user = await app.register(ADA)
    token = await app.mailbox.token(ADA)

    clock.advance(timedelta(hours=24))

    assert outcome(await verify(app, token)) == (400, "invalid_token")
    assert (await app.http.get("/users/me", headers=bearer(await app.sign_in(ADA)))).json() == user


async def test_a_link_for_one_purpose_serves_no_other_and_no_token_serves_as_another(app: RunningApp) -> None:
    user, ada = await app.user(ADA)
    pair = await app.sign_in(ADA)
    await app.http.post("/auth/password/forgot", json={"email": ADA})
    await ask(app, ada)
    confirming = await app.mailbox.token(ADA, page="verify-email")
    resetting = await app.mailbox.token(ADA, page="reset-password")
    changing = await app.mailbox.token(NEW, page="change-email")
    body = {"new_password": "Better-Horse-43"}

    for token in (resetting, changing, pair["refresh_token"], "x"):
        assert outcome(await verify(app, token)) == (400, "invalid_token")
    for token in (confirming, resetting, pair["refresh_token"], "x"):
        assert outcome(await change(app, token)) == (400, "invalid_token")
    for token in (confirming, changing):
        refused = await app.http.post("/auth/password/reset", json={"token": token, **body})
        assert outcome(refused) == (400, "invalid_token")
    for token in (confirming, resetting, changing, pair["refresh_token"]):
        bearing = await app.http.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        assert outcome(bearing) == (401, "invalid_token")

    assert (await app.http.get("/users/me", headers=ada)).json() == user
    assert (await verify(app, confirming)).status_code == 200  # none of that has spent it


async def test_asking_for_the_mail_again_is_answered_alike_and_mailed_only_where_one_is_due(app: RunningApp) -> None:
    await app.superuser()
    await app.register(ADA)
    await app.register("done@example.org")
    await verify(app, await app.mailbox.token("done@example.org"))

    responses = [
        await resend(app, address)
        for address in ("ADA@example.org", "no@example.org", "done@example.org", "root@example.org")
    ]

    assert {response.status_code for response in responses} == {202}
    assert [response.json() for response in responses] == [
        {"success": True, "message": "If this address waits to be confirmed, a mail is on its way", "data": None}
    ] * 4
    assert len({frozenset(response.headers) for response in responses}) == 1
    assert outcome(await resend(app, "no address")) == (422, "validation_error")
    await work_done(app)
    assert sorted(mail["To"] for mail in app.mailbox.mails()) == [ADA, ADA, "done@example.org"]


async def test_a_later_link_supersedes_an_earlier_one(app: RunningApp) -> None:
    await app.register(ADA)
    first = await app.mailbox.token(ADA)
    await resend(app)
    second = await app.mailbox.token(ADA, count=2)

    assert outcome(await verify(app, first)) == (400, "invalid_token")
    assert (await verify(app, second)).status_code == 200


async def test_a_changed_address_counts_once_the_link_is_used_and_the_old_one_is_told(app: RunningApp) -> None:
    user, ada = await app.user(ADA)

    asked = await ask(app, ada, "Countess@Example.org")
    token = await app.mailbox.token(NEW)
    before = await app.http.get("/users/me", headers=ada)
    changed = await change(app, token)
    again = await change(app, token)

    assert (asked.status_code, asked.json()["success"]) == (202, True)
    assert before.json() == user
    assert (changed.status_code, changed.json()["success"]) == (200, True)
    assert outcome(again) == (400, "invalid_token")
    after = (await app.http.get("/users/me", headers=ada)).json()
    assert after == user | {"email": NEW, "is_verified": True, "updated_at": after["updated_at"]}
    old = await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD})
    assert outcome(old) == (401, "invalid_credentials")
    await app.sign_in(NEW)
    await work_done(app)
    notices = {mail["Subject"]: text_of(mail) for mail in app.mailbox.mails(ADA) if "token=" not in text_of(mail)}
    assert sorted(notices) == [
        "A new email address for your Portico account",
        "The email address of your Portico account was changed",
    ]
    assert all(NEW in text for text in notices.values())
    assert len(app.mailbox.mails(NEW)) == 1


async def test_a_change_of_address_that_is_refused_changes_and_mails_nothing(app: RunningApp) -> None:
    user, ada = await app.user(ADA)
    await app.register("grace@example.org")

    refusals = [
        (await ask(app, ada, password="Wrong-Horse-42"), 403, "wrong_password"),
        (await ask(app, ada, "GRACE@example.org"), 409, "email_taken"),
        (await ask(app, ada, "no address"), 422, "validation_error"),
        (await app.http.post("/users/me/email", json={"new_email": NEW}, headers=ada), 422, "validation_error"),
    ]

    for response, status, code in refusals:
        assert outcome(response) == (status, code)
    assert (await app.http.get("/users/me", headers=ada)).json() == user
    await work_done(app)
    assert len(app.mailbox.mails()) == 2


async def test_an_address_that_was_taken_meanwhile_is_not_given(app: RunningApp) -> None:
    user, ada = await app.user(ADA)
    await ask(app, ada)
    token = await app.mailbox.token(NEW)
    other = await app.register(NEW)

    refused = await change(app, token)

    assert outcome(refused) == (409, "email_taken")
    assert (await app.http.get("/users/me", headers=ada)).json() == user
    owner = bearer(await app.sign_in(NEW))
    assert (await app.http.get("/users/me", headers=owner)).json()["id"] == other["id"]


@pytest.mark.parametrize("deed", ["asked again", "password changed", "a day passed", "account deleted"])
async def test_a_link_to_change_the_address_is_dead_afterwards(
    app_with_clock: RunningApp, clock: SettableClock, deed: str
) -> None:
    app = app_with_clock
    _, ada = await app.user(ADA)
    await ask(app, ada)
    token = await app.mailbox.token(NEW)

    match deed:
        case "asked again":
            await ask(app, ada, "baroness@example.org")
            await app.mailbox.received("baroness@example.org")
        case "password changed":
            body = {"current_password": PASSWORD, "new_password": "Better-Horse-43"}
            await app.http.post("/auth/password/change", json=body, headers=ada)
        case "a day passed":
            clock.advance(timedelta(hours=24))
        case "account deleted":
            await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=ada)

    assert outcome(await change(app, token)) == (400, "invalid_token")
    assert (await app.register(NEW))["email"] == NEW


async def test_links_mailed_to_the_old_address_are_dead_once_it_is_changed(app: RunningApp) -> None:
    user, ada = await app.user(ADA)
    confirming = await app.mailbox.token(ADA, page="verify-email")
    await app.http.post("/auth/password/forgot", json={"email": ADA})
    resetting = await app.mailbox.token(ADA, page="reset-password")
    await ask(app, ada)
    assert (await change(app, await app.mailbox.token(NEW))).status_code == 200

    confirmed = await verify(app, confirming)
    body = {"token": resetting, "new_password": "Better-Horse-43"}
    refused = await app.http.post("/auth/password/reset", json=body)

    assert outcome(confirmed) == (400, "invalid_token")
    assert outcome(refused) == (400, "invalid_token")
    await app.sign_in(NEW)
    assert (await app.http.get(f"/users/{user['id']}", headers=ada)).json()["email"] == NEW
