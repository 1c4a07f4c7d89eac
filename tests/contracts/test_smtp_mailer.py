"""Mail by SMTP, with a real server and everything that can go wrong with one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.mail.smtp import SmtpMailer
from application.ports.mail import MailRejected, MailUndelivered
from tests.contracts.mails import PASSWORD, TOKEN, WRITER, a_mail, mailer_to, told
from tests.mail_server import MailServer, Stage, smtp_server


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with smtp_server(credentials=("portico", PASSWORD)) as server:
        yield server


async def test_smtp_encrypts_signs_in_and_hands_over(server: MailServer) -> None:
    await mailer_to(server).send(a_mail())
    (received,) = await server.received(1)
    assert (received.sender, received.recipient) == ("noreply@portico.example", "ada@example.org")
    assert received.encrypted
    assert received.user == "portico"
    assert received.token == TOKEN


async def test_smtp_may_be_encrypted_from_the_start() -> None:
    async with smtp_server(tls="tls", credentials=("portico", PASSWORD)) as server:
        await mailer_to(server).send(a_mail())
        assert server.messages[0].encrypted


async def test_smtp_may_be_plain_and_without_signing_in_where_that_is_set() -> None:
    async with smtp_server(tls="none") as server:
        await mailer_to(server).send(a_mail())
        assert not server.messages[0].encrypted
        assert server.messages[0].user is None


async def test_without_starttls_nothing_is_sent_in_the_clear() -> None:
    async with smtp_server(tls="none") as server:
        with pytest.raises(MailUndelivered, match="STARTTLS"):
            await mailer_to(server, tls="starttls").send(a_mail())
        assert server.messages == server.unconfirmed == []


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_that_the_system_does_not_trust_is_refused(tls: str) -> None:
    async with smtp_server(tls=tls) as server:  # type: ignore[arg-type]
        with pytest.raises(MailUndelivered, match="certificate that can't be trusted"):
            await mailer_to(server, tls_context=None).send(a_mail())
        assert server.messages == server.unconfirmed == []


async def test_a_certificate_for_another_name_is_refused(server: MailServer) -> None:
    mailer = SmtpMailer(WRITER, "127.1", server.port, tls_context=server.trusting)
    with pytest.raises(MailUndelivered, match="mismatch"):
        await mailer.send(a_mail())
    assert server.messages == server.unconfirmed == []


@pytest.mark.parametrize(
    ("stage", "reply", "outcome"),
    [
        ("MAIL", "550 5.7.1 Sender not allowed", MailRejected),
        ("RCPT", "550 5.1.1 No such user", MailRejected),
        ("RCPT", "553 Mailbox name not allowed", MailRejected),
        ("DATA", "554 5.7.1 Looks like spam", MailRejected),
        ("MAIL", "451 4.3.0 Try later", MailUndelivered),
        ("RCPT", "450 4.2.0 Greylisted", MailUndelivered),
        ("RCPT", "452 4.2.2 Mailbox full", MailUndelivered),
        ("RCPT", "421 4.3.2 Going down", MailUndelivered),
        ("DATA", "451 4.3.0 Try later", MailUndelivered),
        ("MAIL", "530 5.7.0 Authentication required", MailUndelivered),
        ("AUTH", "535 5.7.8 Credentials invalid", MailUndelivered),
        ("AUTH", "454 4.7.0 Temporary failure", MailUndelivered),
        ("greeting", "554 5.3.2 No service", MailUndelivered),
        ("greeting", "421 4.3.2 Too busy", MailUndelivered),
        ("greeting", "drop", MailUndelivered),
        ("EHLO", "drop", MailUndelivered),
        ("AUTH", "drop", MailUndelivered),
        ("RCPT", "drop", MailUndelivered),
        ("DATA", "drop", MailUndelivered),
        ("DATA", "what is this", MailUndelivered),
    ],
)
async def test_only_a_5xx_to_the_message_itself_is_final(
    server: MailServer, stage: Stage, reply: str, outcome: type[Exception]
) -> None:
    server.misbehave(stage, reply)
    with pytest.raises((MailRejected, MailUndelivered)) as failure:
        await mailer_to(server).send(a_mail())
    assert failure.type is outcome
    assert server.messages == []
    if reply[:3].isdecimal():
        assert reply[:3] in str(failure.value), "the operator learns the code"


async def test_a_wrong_password_is_a_trouble_of_ours_and_is_not_told() -> None:
    async with smtp_server(credentials=("portico", PASSWORD)) as server:
        wrong = PASSWORD[::-1]
        mailer = mailer_to(server, password=wrong)
        with pytest.raises(MailUndelivered, match="535") as failure:
            await mailer.send(a_mail())
        assert wrong not in told(failure.value)
        assert wrong not in repr(mailer)


async def test_a_server_without_auth_gets_no_mail_of_one_who_wants_to_sign_in() -> None:
    async with smtp_server() as server:
        with pytest.raises(MailUndelivered, match="AUTH"):
            await mailer_to(server, user="portico", password=PASSWORD).send(a_mail())
        assert server.messages == []


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "AUTH", "EHLO", "greeting"])
async def test_what_a_server_quotes_gets_into_no_exception(server: MailServer, stage: Stage) -> None:
    server.misbehave(stage, f"554 5.7.1 refused: {TOKEN} {PASSWORD} ada@example.org")
    with pytest.raises((MailRejected, MailUndelivered)) as failure:
        await mailer_to(server).send(a_mail())
    for secret in (TOKEN, PASSWORD, "ada@example.org"):
        assert secret not in told(failure.value)


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "AUTH", "RCPT", "DATA"])
async def test_a_server_that_hangs_costs_the_time_allowed_and_no_more(server: MailServer, stage: Stage) -> None:
    server.misbehave(stage, "hold")
    with pytest.raises(MailUndelivered, match=r"longer than 0\.3 s"):
        await mailer_to(server, timeout_seconds=0.3).send(a_mail())
    assert server.messages == []


async def test_a_slow_greeting_is_waited_for(server: MailServer) -> None:
    server.misbehave("greeting", "hold")
    sending = asyncio.create_task(mailer_to(server).send(a_mail()))
    await server.connected(1)
    assert not sending.done()
    server.release()
    await sending
    assert len(server.messages) == 1


@pytest.mark.parametrize("trouble", ["hold", "drop", "500 No"])
async def test_what_happens_after_the_server_accepted_makes_no_difference(server: MailServer, trouble: str) -> None:
    server.misbehave("QUIT", trouble)
    await mailer_to(server).send(a_mail())
    assert len(server.messages) == 1


async def test_after_a_drop_the_next_attempt_is_recognisable_as_the_same_mail(server: MailServer) -> None:
    server.misbehave("DATA", "drop", times=1)
    with pytest.raises(MailUndelivered):
        await mailer_to(server).send(a_mail())
    await mailer_to(server).send(a_mail())
    assert server.unconfirmed[0].message["Message-ID"] == server.messages[0].message["Message-ID"]


async def test_a_server_that_was_away_gets_the_mail_when_it_is_back(server: MailServer) -> None:
    await server.go_away()
    with pytest.raises(MailUndelivered, match="refused"):
        await mailer_to(server).send(a_mail())
    await server.come_back()
    await mailer_to(server).send(a_mail())
    assert len(server.messages) == 1


async def test_a_host_that_does_not_exist_is_undelivered() -> None:
    with pytest.raises(MailUndelivered, match="can't be reached"):
        await SmtpMailer(WRITER, "x" * 64 + ".invalid", 25).send(a_mail())


async def test_an_international_domain_is_transported_in_ascii(server: MailServer) -> None:
    await mailer_to(server).send(a_mail(to="ada@bücher.example"))
    (received,) = server.messages
    assert received.recipient == "ada@xn--bcher-kva.example"
    assert received.message["To"] == "ada@xn--bcher-kva.example"
    assert not received.utf8
    assert "ada@bücher.example" in received.text


async def test_an_international_local_part_is_transported_as_it_is(server: MailServer) -> None:
    await mailer_to(server).send(a_mail(to="jürgen@bücher.example"))
    (received,) = server.messages
    assert received.utf8
    assert received.recipient == "jürgen@xn--bcher-kva.example"
    assert "To: jürgen@xn--bcher-kva.example\r\n".encode() in received.content


async def test_a_server_that_can_not_carry_an_international_local_part_ends_the_attempts() -> None:
    async with smtp_server(utf8=False) as server:
        with pytest.raises(MailRejected, match="SMTPUTF8"):
            await mailer_to(server).send(a_mail(to="jürgen@example.org"))
        await mailer_to(server).send(a_mail(to="ada@bücher.example"))
        assert len(server.messages) == 1


async def test_many_mails_at_once_arrive_each_once(server: MailServer) -> None:
    mailer = mailer_to(server)
    await asyncio.gather(*(mailer.send(a_mail(mail_id=str(number))) for number in range(16)))
    assert len({received.message["Message-ID"] for received in server.messages}) == len(server.messages) == 16
