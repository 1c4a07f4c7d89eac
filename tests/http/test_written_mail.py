"""Mail that a superuser writes."""

import asyncio
from typing import Any

import pytest

from tests.http.answers import outcome, text_of, work_done
from tests.http.conftest import StartApp
from tests.running_app import RunningApp

TO = "grace@example.net"
MAIL = {"email": TO, "subject": "Maintenance tonight", "message": "Dear Grace,\nwe will be back at ten."}


async def send(app: RunningApp, headers: dict[str, str], **more: Any) -> Any:
    return await app.http.post("/send-email", json={**MAIL, **more}, headers=headers)


async def test_it_goes_out_in_the_background_under_the_requests_id(app: RunningApp) -> None:
    _, root = await app.superuser()

    response = await send(app, {**root, "X-Request-ID": "mine.1"})

    assert response.status_code == 202
    assert response.json() == {"success": True, "message": "Email will be sent in background"}
    (mail,) = await app.mailbox.received(TO)
    assert (mail["Subject"], mail["X-Request-ID"]) == (MAIL["subject"], "mine.1")
    assert text_of(mail).splitlines()[:2] == MAIL["message"].splitlines()


async def test_it_is_for_superusers_and_nobody_else_sends_a_thing(app: RunningApp) -> None:
    _, ada = await app.user()

    assert outcome(await send(app, {})) == (401, "not_authenticated")
    assert outcome(await send(app, ada)) == (403, "not_enough_privileges")
    await work_done(app)
    assert app.mailbox.mails(TO) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "not an address"),
        ("email", "a@example.org, b@example.org"),
        ("email", "a@example.org\r\nBcc: b@example.org"),
        ("email", ["a@example.org"]),
        ("subject", ""),
        ("subject", " \u3000"),
        ("subject", "x" * 201),
        ("subject", "Hello\r\nBcc: b@example.org"),
        ("subject", "Hello\u2028there"),
        ("subject", "a\0b"),
        ("message", ""),
        ("message", "\n \t\n"),
        ("message", "x" * 50_001),
        ("message", "a\0b"),
        ("message", None),
        ("bcc", "b@example.org"),
    ],
)
async def test_what_breaks_a_rule_is_refused_and_nothing_is_sent(app: RunningApp, field: str, value: Any) -> None:
    _, root = await app.superuser()

    response = await send(app, root, **{field: value})

    assert outcome(response) == (422, "validation_error")
    assert {error["field"] for error in response.json()["errors"]} == {f"body.{field}"}
    await work_done(app)
    assert app.mailbox.mails(TO) == []


async def test_the_longest_there_may_be_arrives_whole(app: RunningApp) -> None:
    _, root = await app.superuser()
    subject, message = "Ω" * 200, "é" * 50_000

    assert (await send(app, root, subject=subject, message=message)).status_code == 202

    (mail,) = await app.mailbox.received(TO)
    assert mail["Subject"] == subject
    assert text_of(mail).startswith(message)


async def test_under_one_key_one_mail_goes_out_however_often_it_is_asked_for(app: RunningApp) -> None:
    _, root = await app.superuser()
    keyed = {**root, "Idempotency-Key": "k"}

    first = await send(app, keyed)
    again = await asyncio.gather(*(send(app, keyed) for _ in range(5)))
    other = await send(app, keyed, subject="Another")

    assert {response.content for response in again} == {first.content}
    assert {(response.status_code, response.headers["Idempotency-Replayed"]) for response in again} == {(202, "true")}
    assert outcome(other) == (422, "idempotency_key_reused")
    await work_done(app)
    assert len(app.mailbox.mails(TO)) == 1


async def test_nobody_sends_more_than_sixty_an_hour(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True, with_worker=False)
    _, root = await app.superuser()
    _, other = await app.superuser("other@example.org")
    for _ in range(60):
        assert (await send(app, root)).status_code == 202

    refused = await send(app, root)

    assert outcome(refused) == (429, "too_many_attempts")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert (await send(app, other)).status_code == 202
