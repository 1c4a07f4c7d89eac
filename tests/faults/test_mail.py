"""No change without its mail, no mail without its change: through crash, restart and a server that is away."""

from pathlib import Path

from tests.faults.processes import command, register, serving
from tests.mail_server import MailServer, smtp_server

ADA = "ada@example.org"


def through(server: MailServer) -> dict[str, str]:
    return {"MAIL_BACKEND": "smtp", "SMTP_HOST": server.host, "SMTP_PORT": str(server.port), "SMTP_TLS": "none"}


async def test_a_mail_server_that_is_away_delays_the_mail_and_not_the_request(
    database: dict[str, str], tmp_path: Path
) -> None:
    async with smtp_server(tls="none") as mails:
        await mails.go_away()
        async with serving(tmp_path / "data", **database, **through(mails)) as portico, portico.client() as client:
            response = await register(client, ADA)
            assert response.status_code == 201

            await mails.come_back()
            await mails.received(1, timeout=15)

            assert (await register(client, "grace@example.org")).status_code == 201
            await mails.received(2, timeout=15)
            assert [mail.recipient for mail in mails.messages] == [ADA, "grace@example.org"]


async def test_a_server_killed_right_after_its_answer_still_sends_the_mail(
    database: dict[str, str], tmp_path: Path
) -> None:
    async with smtp_server(tls="none") as mails:
        mails.misbehave("greeting", "hold")
        async with serving(tmp_path / "data", **database, **through(mails)) as portico, portico.client() as client:
            response = await register(client, ADA)
            portico.kill()
            await portico.exit_status()
        mails.behave()
        mails.release()
        assert response.status_code == 201
        assert not mails.messages

        async with serving(tmp_path / "data", **database, **through(mails)) as portico, portico.client() as client:
            await mails.received(1, timeout=30)
            token = mails.messages[0].token
            confirmed = await client.post("/auth/verify-email", json={"token": token})

        assert confirmed.status_code == 200
        assert len(mails.messages) == 1


async def test_a_message_dropped_after_its_data_comes_again_under_the_same_id_with_the_same_link(
    database: dict[str, str], tmp_path: Path
) -> None:
    async with smtp_server(tls="none") as mails:
        mails.misbehave("DATA", "drop", times=1)
        async with serving(tmp_path / "data", **database, **through(mails)) as portico, portico.client() as client:
            await register(client, ADA)
            await mails.received(1, timeout=15)
            lost, kept = mails.unconfirmed[0], mails.messages[0]

            assert lost.message["Message-ID"] == kept.message["Message-ID"]
            assert lost.token == kept.token
            assert (await client.post("/auth/verify-email", json={"token": kept.token})).status_code == 200


async def test_a_mail_refused_for_good_is_kept_dead_and_can_be_sent_again(
    database: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    async with smtp_server(tls="none") as mails:
        settings = {**database, **through(mails)}
        mails.misbehave("RCPT", "550 no such mailbox")
        async with serving(data, **settings) as portico, portico.client() as client:
            await register(client, ADA)
            dead = ""
            while not dead:
                _, dead, _ = await command(data, "jobs", "list", "--state", "dead", **settings)
            mails.behave()

            status, _, _ = await command(data, "jobs", "retry", dead.split()[0], **settings)
            await mails.received(1, timeout=15)

        assert status == 0
        assert "mail_verification" in dead
        assert mails.messages[0].recipient == ADA
