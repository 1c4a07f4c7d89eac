"""What mails go out, through a real mail server with STARTTLS and a password."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.deployments import on
from tests.http.answers import outcome, work_done
from tests.http.conftest import StartApp
from tests.mail_server import MailServer, Received, smtp_server
from tests.running_app import PASSWORD, RunningApp, bearer

ADA = "ada@example.org"
NEW = "countess@example.org"
CREDENTIALS = ("portico", "mail-secret-42")
PUBLIC_URL = "https://portico.example/app"
pytestmark = on(mail="smtp")


@pytest.fixture
async def mails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MailServer]:
    """A mail server that demands STARTTLS and AUTH, whose certificate this process trusts as an operator's would."""
    async with smtp_server(tls="starttls", credentials=CREDENTIALS) as server:
        trusted = tmp_path / "trusted.pem"
        trusted.write_bytes(server.certificate)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        yield server


@pytest.fixture
async def app(start_app: StartApp, mails: MailServer) -> RunningApp:
    return await start_app(
        mail_backend="smtp",
        smtp_host="localhost",
        smtp_port=mails.port,
        smtp_tls="starttls",
        smtp_user=CREDENTIALS[0],
        smtp_password=CREDENTIALS[1],
        emails_from_email="accounts@portico.example",
        emails_from_name="Portico Accounts",
        public_url=PUBLIC_URL,
    )


async def last(mails: MailServer, count: int) -> Received:
    return (await mails.received(count))[-1]


def shown(mail: Received) -> tuple[str, str]:
    return mail.recipient, mail.message["Subject"]


async def test_registering_sends_one_mail_encrypted_and_signed_in(app: RunningApp, mails: MailServer) -> None:
    await app.register(ADA, full_name="Ada <b>Lovelace</b>")
    mail = await last(mails, 1)
    await work_done(app)

    assert len(mails.messages) == 1
    assert (mail.encrypted, mail.user) == (True, CREDENTIALS[0])
    assert (mail.sender, mail.recipient) == ("accounts@portico.example", ADA)
    assert mail.message["From"] == "Portico Accounts <accounts@portico.example>"
    assert mail.message["To"] == ADA
    assert mail.message["Subject"] == "Please confirm your email address for Portico"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message.get_content_type() == "multipart/alternative"
    assert "Hello" in mail.text
    assert mail.link == f"{PUBLIC_URL}/verify-email?token={mail.token}"
    assert f'href="{mail.link}"' in mail.html
    assert "<b>Lovelace" not in mail.html
    assert (await app.http.post("/auth/verify-email", json={"token": mail.token})).status_code == 200


async def test_each_change_sends_its_mail_and_each_link_works(app: RunningApp, mails: MailServer) -> None:
    await app.register(ADA)
    confirming = await last(mails, 1)

    await app.http.post("/auth/password/forgot", json={"email": ADA})
    resetting = await last(mails, 2)
    body = {"token": resetting.token, "new_password": "Better-Horse-43"}
    assert (await app.http.post("/auth/password/reset", json=body)).status_code == 200
    told_of_password = await last(mails, 3)

    ada = bearer(await app.sign_in(ADA, "Better-Horse-43"))
    await app.http.post("/users/me/email", json={"new_email": NEW, "password": "Better-Horse-43"}, headers=ada)
    asked = {mail.recipient: mail for mail in (await mails.received(5))[3:]}
    assert (await app.http.post("/auth/change-email", json={"token": asked[NEW].token})).status_code == 200
    told_of_address = await last(mails, 6)

    assert [shown(mail) for mail in (confirming, resetting, told_of_password)] == [
        (ADA, "Please confirm your email address for Portico"),
        (ADA, "Choose a new password for Portico"),
        (ADA, "Your Portico password was changed"),
    ]
    assert shown(asked[NEW]) == (NEW, "Please confirm your new email address for Portico")
    assert shown(asked[ADA]) == (ADA, "A new email address for your Portico account")
    assert shown(told_of_address) == (ADA, "The email address of your Portico account was changed")
    for mail, page in ((confirming, "verify-email"), (resetting, "reset-password"), (asked[NEW], "change-email")):
        assert mail.link == f"{PUBLIC_URL}/{page}?token={mail.token}"
        assert f'href="{mail.link}"' in mail.html
    for mail in (told_of_password, asked[ADA], told_of_address):
        assert "token=" not in mail.text + mail.html
    await work_done(app)
    assert len(mails.messages) == 6


async def test_a_mail_carries_the_id_of_the_request_that_caused_it(app: RunningApp, mails: MailServer) -> None:
    body = {"email": ADA, "password": PASSWORD}

    given = await app.http.post("/users/", json=body, headers={"X-Request-ID": "tour-1"})
    first = await last(mails, 1)
    made = await app.http.post("/auth/password/forgot", json={"email": ADA})
    second = await last(mails, 2)

    assert given.headers["X-Request-ID"] == first.message["X-Request-ID"] == "tour-1"
    assert made.headers["X-Request-ID"] == second.message["X-Request-ID"]
    assert first.message["Message-ID"] != second.message["Message-ID"]


async def test_a_link_starts_with_the_public_url_whatever_the_request_says(app: RunningApp, mails: MailServer) -> None:
    _, ada = await app.user(ADA)
    await mails.received(1)
    forged = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "Forwarded": "host=evil.example",
        "Origin": "https://evil.example",
        "Referer": "https://evil.example/",
    }
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/users/", {"email": "grace@example.org", "password": PASSWORD}),
        ("/auth/verify-email/resend", {"email": ADA}),
        ("/auth/password/forgot", {"email": ADA}),
        ("/users/me/email", {"new_email": NEW, "password": PASSWORD}),
    ]

    for path, body in calls:
        response = await app.http.post(path, json=body, headers=ada | forged)
        assert response.status_code in (201, 202), path

    with_links = [mail for mail in await mails.received(6) if "token=" in mail.text]
    assert len(with_links) == 5
    assert all(mail.link.startswith(f"{PUBLIC_URL}/") for mail in with_links)
    assert not any("evil.example" in mail.message.as_string() + mail.html + mail.text for mail in mails.messages)


async def test_a_retry_has_the_same_message_id_and_the_same_link(app: RunningApp, mails: MailServer) -> None:
    mails.misbehave("DATA", "451 4.3.0 try again later", times=1)

    response = await app.http.post("/users/", json={"email": ADA, "password": PASSWORD})
    kept = await last(mails, 1)

    [refused] = mails.unconfirmed
    assert refused.message["Message-ID"] == kept.message["Message-ID"]
    assert refused.message["X-Request-ID"] == kept.message["X-Request-ID"] == response.headers["X-Request-ID"]
    assert refused.link == kept.link
    assert (await app.http.post("/auth/verify-email", json={"token": kept.token})).status_code == 200


async def test_a_call_that_is_refused_sends_nothing(app: RunningApp, mails: MailServer) -> None:
    user, ada = await app.user(ADA)
    await mails.received(1)
    _, root = await app.superuser()
    refusals = [
        await app.http.post("/users/", json={"email": ADA, "password": PASSWORD}),
        await app.http.post("/users/", json={"email": NEW, "password": "Password1"}),
        await app.http.post("/users/", json={"email": NEW, "password": PASSWORD, "is_superuser": True}),
        await app.http.post("/auth/password/forgot", json={"email": "ada@"}),
        await app.http.post("/auth/password/reset", json={"token": "x", "new_password": "Better-Horse-43"}),
        await app.http.post("/users/me/email", json={"new_email": NEW, "password": "Wrong-Horse-42"}, headers=ada),
        await app.http.patch(f"/users/{user['id']}", json={"email": "root@example.org"}, headers=root),
    ]

    await work_done(app)

    assert [outcome(response)[0] for response in refusals] == [409, 422, 422, 422, 400, 403, 409]
    assert len(mails.messages) == 1


async def test_an_address_beyond_ascii_is_written_to(app: RunningApp, mails: MailServer) -> None:
    await app.register("ada@bücher.example")
    await app.register("rené@bücher.example")

    by_recipient = {mail.recipient: mail.utf8 for mail in await mails.received(2)}

    assert by_recipient == {"ada@xn--bcher-kva.example": False, "rené@xn--bcher-kva.example": True}
