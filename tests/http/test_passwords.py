"""Passwords: which ones are taken, changing one's own, and forgetting it."""

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlmodel import SQLModel

from adapters.persistence.statements import Statement
from tests.fakes import SettableClock
from tests.http.answers import outcome, work_done
from tests.running_app import PASSWORD, RunningApp, bearer

ADA = "ada@example.org"
BETTER = "Better-Horse-43"


async def reset(app: RunningApp, token: str, new_password: str = BETTER) -> Any:
    return await app.http.post("/auth/password/reset", json={"token": token, "new_password": new_password})


async def forget(app: RunningApp, address: str = ADA) -> Any:
    return await app.http.post("/auth/password/forgot", json={"email": address})


async def test_any_unicode_of_8_to_100_characters_will_do(app: RunningApp) -> None:
    passwords = ["Xq7-vRt2", "Aa1" + "é" * 97, "Пароль-42", "Ψωμί ١٢ με ελιές", "Aa1 🐎🐎🐎🐎🐎", " Leading-Space-1 "]

    for number, password in enumerate(passwords):
        await app.register(f"user-{number}@example.org", password)
        await app.sign_in(f"user-{number}@example.org", password)
        wrong = {"email": f"user-{number}@example.org", "password": password[:-1]}
        assert outcome(await app.http.post("/auth/login", json=wrong)) == (401, "invalid_credentials")


async def test_every_character_of_a_long_password_counts_and_typing_is_composed(app: RunningApp) -> None:
    long = "Aa1" + "x" * 72
    await app.register("long@example.org", long + "y")
    await app.register("accent@example.org", "Caf\u00e9-Horse-42")
    await app.register("apart@example.org", "Cafe\u0301-Horse-42")

    for twin in (long + "z", long, long[:72]):
        wrong = await app.http.post("/auth/login", json={"email": "long@example.org", "password": twin})
        assert outcome(wrong) == (401, "invalid_credentials")
    await app.sign_in("long@example.org", long + "y")
    for address in ("accent@example.org", "apart@example.org"):
        await app.sign_in(address, "Caf\u00e9-Horse-42")
        await app.sign_in(address, "Cafe\u0301-Horse-42")


async def test_changing_the_password_keeps_this_session_and_ends_the_others(app: RunningApp) -> None:
    await app.register(ADA)
    here, there = await app.sign_in(ADA), await app.sign_in(ADA)
    body = {"current_password": PASSWORD, "new_password": BETTER}

    response = await app.http.post("/auth/password/change", json=body, headers=bearer(here))

    assert (response.status_code, response.json()) == (
        200,
        {"success": True, "message": "The password is changed", "data": None},
    )
    assert (await app.http.get("/users/me", headers=bearer(here))).status_code == 200
    assert outcome(await app.http.get("/users/me", headers=bearer(there))) == (401, "invalid_token")
    refreshed = await app.http.post("/auth/refresh", json={"refresh_token": there["refresh_token"]})
    assert outcome(refreshed) == (401, "invalid_refresh_token")
    assert (await app.http.post("/auth/refresh", json={"refresh_token": here["refresh_token"]})).status_code == 200
    old = await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD})
    assert outcome(old) == (401, "invalid_credentials")
    await app.sign_in(ADA, BETTER)
    await work_done(app)
    assert "Your Portico password was changed" in [mail["Subject"] for mail in app.mailbox.mails(ADA)]


async def test_a_change_that_is_refused_changes_nothing(app: RunningApp) -> None:
    user, here = await app.user(ADA)
    there = bearer(await app.sign_in(ADA))
    bodies: list[tuple[dict[str, Any], int, str]] = [
        ({"current_password": "Wrong-Horse-42", "new_password": BETTER}, 403, "wrong_password"),
        ({"current_password": PASSWORD, "new_password": "weak-1"}, 422, "validation_error"),
        ({"current_password": PASSWORD, "new_password": "Password1"}, 422, "password_too_common"),
        ({"current_password": PASSWORD}, 422, "validation_error"),
        ({"new_password": BETTER}, 422, "validation_error"),
    ]

    for body, status, code in bodies:
        response = await app.http.post("/auth/password/change", json=body, headers=here)
        assert outcome(response) == (status, code)
        assert not any(password in response.text for password in body.values())

    assert (await app.http.get("/users/me", headers=there)).json() == user
    await app.sign_in(ADA)
    await work_done(app)
    assert len(app.mailbox.mails()) == 1


async def test_asking_for_a_reset_is_answered_alike_and_mailed_only_to_those_who_have_an_account(
    app: RunningApp,
) -> None:
    _, root = await app.superuser()
    await app.register(ADA)
    inactive = await app.register("inactive@example.org")
    await app.http.patch(f"/users/{inactive['id']}", json={"is_active": False}, headers=root)

    responses = [await forget(app, address) for address in ("ADA@example.org", "no@example.org", inactive["email"])]

    assert {response.status_code for response in responses} == {202}
    assert [response.json() for response in responses] == [
        {"success": True, "message": "If there is an account with this address, a mail is on its way", "data": None}
    ] * 3
    assert len({frozenset(response.headers) for response in responses}) == 1
    assert outcome(await forget(app, "no address")) == (422, "validation_error")
    await work_done(app)
    asked = [mail["To"] for mail in app.mailbox.mails() if "new password" in mail["Subject"]]
    assert asked == [ADA]


async def test_a_forgotten_password_is_reset_once_and_every_session_ends(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    await forget(app)
    pair = await app.sign_in(ADA)
    token = await app.mailbox.token(ADA, page="reset-password")

    weak, common = await reset(app, token, "weak"), await reset(app, token, "Password1")
    kept = await app.http.get("/users/me", headers=ada)
    done = await reset(app, token)
    again = await reset(app, token, "Better-Horse-44")

    assert outcome(weak) == (422, "validation_error")
    assert outcome(common) == (422, "password_too_common")
    assert kept.status_code == 200
    assert (done.status_code, done.json()["success"]) == (200, True)
    assert outcome(again) == (400, "invalid_token")
    for headers in (ada, bearer(pair)):
        assert outcome(await app.http.get("/users/me", headers=headers)) == (401, "invalid_token")
    refreshed = await app.http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert outcome(refreshed) == (401, "invalid_refresh_token")
    for dead in (PASSWORD, "Better-Horse-44"):
        refused = await app.http.post("/auth/login", json={"email": ADA, "password": dead})
        assert outcome(refused) == (401, "invalid_credentials")
    await app.sign_in(ADA, BETTER)
    await work_done(app)
    assert "Your Portico password was changed" in [mail["Subject"] for mail in app.mailbox.mails(ADA)]


async def test_of_ten_resets_at_once_with_one_link_one_counts(app: RunningApp) -> None:
    await app.register(ADA)
    await forget(app)
    token = await app.mailbox.token(ADA, page="reset-password")
    passwords = [f"Better-Horse-{number}" for number in range(10, 20)]

    responses = await asyncio.gather(*(reset(app, token, password) for password in passwords))

    [winner] = [password for password, answer in zip(passwords, responses, strict=True) if answer.status_code == 200]
    assert [outcome(answer) for answer in responses if answer.status_code != 200] == [(400, "invalid_token")] * 9
    await app.sign_in(ADA, winner)


async def test_a_link_to_reset_works_for_one_hour(app_with_clock: RunningApp, clock: SettableClock) -> None:
    app = app_with_clock
    tokens = {}
    for address in (ADA, "grace@example.org"):
        await app.register(address)
        await forget(app, address)
        tokens[address] = await app.mailbox.token(address, page="reset-password")

    clock.advance(timedelta(minutes=59, seconds=59))
    in_time = await reset(app, tokens[ADA])
    clock.advance(timedelta(seconds=1))
    too_late = await reset(app, tokens["grace@example.org"])

    assert in_time.status_code == 200
    assert outcome(too_late) == (400, "invalid_token")
    await app.sign_in("grace@example.org")


async def test_a_link_to_reset_is_dead_once_a_later_one_or_a_new_password_is_there(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    await forget(app)
    first = await app.mailbox.token(ADA, page="reset-password")
    await forget(app)
    second = await app.mailbox.token(ADA, count=2, page="reset-password")
    body = {"current_password": PASSWORD, "new_password": "Better-Horse-44"}

    superseded = await reset(app, first)
    await app.http.post("/auth/password/change", json=body, headers=ada)
    outlived = await reset(app, second)

    assert outcome(superseded) == (400, "invalid_token")
    assert outcome(outlived) == (400, "invalid_token")
    await app.sign_in(ADA, "Better-Horse-44")


async def test_a_token_that_no_link_to_reset_holds_is_refused(app: RunningApp) -> None:
    await app.register(ADA)
    other_purpose = await app.mailbox.token(ADA)
    pair = await app.sign_in(ADA)

    for token in (other_purpose, pair["access_token"][:500], pair["refresh_token"], "x"):
        refused = await reset(app, token)
        assert outcome(refused) == (400, "invalid_token")
    for token in ("", "x" * 513):
        assert outcome(await reset(app, token)) == (422, "validation_error")

    await app.sign_in(ADA)


async def test_no_answer_and_no_log_holds_a_password_or_a_hash(app: RunningApp, caplog: Any, capfd: Any) -> None:
    caplog.set_level("DEBUG")
    _, root = await app.superuser()
    texts: list[str] = []

    async def keep(response: Any) -> None:
        texts.append(f"{response.headers} {(await response.aread()).decode()}")

    app.http.event_hooks["response"].append(keep)
    user, ada = await app.user(ADA)
    hashes = [(await app.container.reads().user(user["id"])).password_hash]
    wrong = {"email": ADA, "password": "Wrong-Horse-42"}
    change = {"current_password": PASSWORD, "new_password": BETTER}
    await app.http.post("/users/", json={"email": ADA, "password": PASSWORD})
    await app.http.post("/users/", json={"email": ADA, "password": [PASSWORD]})
    await app.http.post("/auth/login", json=wrong)
    await app.http.get("/users/", headers=root)
    await app.http.patch(f"/users/{user['id']}", json={"full_name": "Ada"}, headers=root)
    await app.http.patch(f"/users/{user['id']}", json={"password_hash": hashes[0]}, headers=root)
    await app.http.get("/auth/sessions", headers=ada)
    await app.http.post("/auth/password/change", json={**change, "current_password": "Wrong-Horse-42"}, headers=ada)
    await app.http.post("/auth/password/change", json=change, headers=ada)
    hashes.append((await app.container.reads().user(user["id"])).password_hash)
    await app.http.post("/users/me/email", json={"new_email": "new@example.org", "password": BETTER}, headers=ada)
    await work_done(app)
    await app.http.request("DELETE", "/users/me", json={"password": BETTER}, headers=ada)

    written = capfd.readouterr()
    told = "\n".join([*texts, caplog.text, written.out, written.err, *map(str, app.mailbox.mails())])
    assert len(texts) == 13
    assert hashes[0] != hashes[1]
    for secret in (PASSWORD, BETTER, "Wrong-Horse-42", *hashes, "$2b$"):
        assert secret not in told


async def test_no_row_holds_a_password_or_a_token(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    pair = await app.sign_in(ADA)
    await forget(app)
    await app.http.post("/users/me/email", json={"new_email": "new@example.org", "password": PASSWORD}, headers=ada)
    tokens = [
        await app.mailbox.token(ADA, page="verify-email"),
        await app.mailbox.token(ADA, page="reset-password"),
        await app.mailbox.token("new@example.org", page="change-email"),
    ]
    await work_done(app)

    database = app.container.database()
    tables = SQLModel.metadata.tables.values()
    rows = [row for table in tables for row in await database.all(Statement(select(table)))]

    stored = "\n".join(str(list(row)) for row in rows)
    assert "new@example.org" in stored
    for secret in (PASSWORD, *tokens, pair["refresh_token"], pair["access_token"]):
        assert secret not in stored
