"""No change without its mail, no mail without its change: through crash, restart and a mail server that is away."""

from pathlib import Path

import pytest

from tests.faults.processes import command, mail_through, reaches, register, serving
from tests.mail_server import smtp_server
from tests.running_app import eventually

ADA = "ada@example.org"
SENT = 'portico_mails_total{outcome="sent"}'
RETRIED = 'portico_mails_total{outcome="retried"}'
DEAD = 'portico_mails_total{outcome="dead"}'

# What a mail server does to an attempt is told to the queue in one way, so one database is enough for it.
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ON_POSTGRES = pytest.mark.parametrize("database", ["postgres"], indirect=True)


async def test_a_mail_server_that_is_away_delays_the_mail_and_not_the_request(
    database: dict[str, str], data: Path
) -> None:
    async with smtp_server(tls="none") as mails:
        await mails.go_away()
        async with serving(data, **database, **mail_through(mails)) as portico, portico.client() as client:
            assert (await register(client, ADA)).status_code == 201
            await reaches(portico, RETRIED, 1)
            await mails.come_back()
            await reaches(portico, SENT, 1)

    assert [mail.recipient for mail in mails.messages] == [ADA]


async def test_no_request_waits_for_a_mail_server_that_hangs(database: dict[str, str], data: Path) -> None:
    addresses = [f"user{number}@example.org" for number in range(20)]
    async with smtp_server(tls="none") as mails:
        mails.misbehave("greeting", "hold")
        async with serving(data, **database, **mail_through(mails)) as portico, portico.client() as client:
            answers = [(await register(client, address)).status_code for address in addresses]
            assert not mails.messages
            await mails.connected(1)
            mails.behave()
            await reaches(portico, SENT, 20)

    assert answers == [201] * 20
    assert sorted(mail.recipient for mail in mails.messages) == sorted(addresses)


async def test_a_server_killed_right_after_its_answer_still_sends_the_mail(
    database: dict[str, str], data: Path
) -> None:
    async with smtp_server(tls="none") as mails:
        mails.misbehave("greeting", "hold")
        settings = {**database, **mail_through(mails)}
        async with serving(data, **settings) as portico, portico.client() as client:
            response = await register(client, ADA)
            portico.kill()
            await portico.exit_status()
        mails.behave()
        assert response.status_code == 201
        assert not mails.messages

        async with serving(data, **settings) as portico, portico.client() as client:
            await reaches(portico, SENT, 1)  # a lease of 15 s may have to run out
            confirmed = await client.post("/auth/verify-email", json={"token": mails.messages[0].token})

    assert confirmed.status_code == 200
    assert [mail.recipient for mail in mails.messages] == [ADA]


@ON_SQLITE
async def test_a_server_killed_while_its_mail_is_being_taken_sends_it_again_under_the_same_id(
    database: dict[str, str], data: Path
) -> None:
    async with smtp_server(tls="none") as mails:
        mails.misbehave("DATA", "hold")
        settings = {**database, **mail_through(mails)}
        async with serving(data, **settings) as portico, portico.client() as client:
            await register(client, ADA)
            cut, *_ = await eventually(lambda: list(mails.unconfirmed))
            portico.kill()
            await portico.exit_status()
        mails.behave()
        async with serving(data, **settings) as portico:
            await reaches(portico, SENT, 1)  # a lease of 15 s has to run out

    last = mails.messages[-1]
    assert cut.message["Message-ID"] == last.message["Message-ID"]
    assert cut.link == last.link


@ON_POSTGRES
async def test_a_message_dropped_after_its_data_comes_again_under_the_same_id_with_the_same_link(
    database: dict[str, str], data: Path
) -> None:
    async with smtp_server(tls="none") as mails:
        mails.misbehave("DATA", "drop", times=1)
        async with serving(data, **database, **mail_through(mails)) as portico, portico.client() as client:
            await register(client, ADA)
            await reaches(portico, SENT, 1)
            [lost], [kept] = mails.unconfirmed, mails.messages
            confirmed = await client.post("/auth/verify-email", json={"token": kept.token})

    assert lost.message["Message-ID"] == kept.message["Message-ID"]
    assert lost.link == kept.link
    assert confirmed.status_code == 200


@ON_SQLITE
async def test_a_mail_refused_for_now_is_sent_when_it_is_taken(database: dict[str, str], data: Path) -> None:
    async with smtp_server(tls="none") as mails:
        mails.misbehave("RCPT", "451 4.7.1 greylisted, come again", times=1)
        async with serving(data, **database, **mail_through(mails)) as portico, portico.client() as client:
            await register(client, ADA)
            await reaches(portico, RETRIED, 1)
            await reaches(portico, SENT, 1)

    assert [mail.recipient for mail in mails.messages] == [ADA]


async def test_a_mail_refused_for_good_is_kept_dead_and_can_be_sent_again(database: dict[str, str], data: Path) -> None:
    async with smtp_server(tls="none") as mails:
        settings = {**database, **mail_through(mails)}
        mails.misbehave("RCPT", "550 5.1.1 no such mailbox", times=1)
        async with serving(data, **settings) as portico, portico.client() as client:
            await register(client, ADA)
            await reaches(portico, DEAD, 1)

            _, dead, _ = await command(data, "jobs", "list", "--state", "dead", **settings)
            again = await command(data, "jobs", "retry", dead.splitlines()[1].split()[0], **settings)
            await reaches(portico, SENT, 1)

    assert "mail_verification" in dead
    assert "550" in dead
    assert len(dead.splitlines()) == 2
    assert again[0] == 0
    assert [mail.recipient for mail in mails.messages] == [ADA]
