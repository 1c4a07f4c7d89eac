"""What every mailer promises, then what files and the console add."""

import asyncio
import io
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.mail.console import ConsoleMailer
from adapters.mail.file import FileMailer
from adapters.mail.message import LINKS
from application.ports.mail import Letter, Mailer, MailRejected, MailUndelivered
from tests.contracts.mails import PASSWORD, TOKEN, WRITER, a_mail, caused_by, mailer_to, parsed, part
from tests.fakes import RecordingMailer
from tests.mail_server import MailServer, smtp_server


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with smtp_server(credentials=("portico", PASSWORD)) as server:
        yield server


@dataclass
class Arrived:
    """A mail at the far end, whatever way it went."""

    headers: dict[str, str]
    text: str


@dataclass
class Channel:
    mailer: Mailer
    arrived: Callable[[], list[Arrived]]


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def from_message(message: EmailMessage) -> Arrived:
    return Arrived({name: str(value) for name, value in message.items()}, part(message, "plain"))


def from_file(file: Path) -> Arrived:
    return from_message(parsed(file.read_bytes()))


def from_frame(frame: str) -> Arrived:
    head, _, text = frame.replace("│ ", "").replace("│", "").partition("\n\n")
    return Arrived(dict(line.split(": ", 1) for line in head.splitlines()[1:]), text)


def from_fake(fake: RecordingMailer) -> Iterator[Arrived]:
    """What it was given, as the others word it."""
    for mail, cause in zip(fake.sent, fake.request_ids, strict=True):
        with caused_by(cause):
            yield from_message(WRITER.write(mail))


@pytest.fixture(params=["smtp", "file", "console", "fake"])
def channel(request: pytest.FixtureRequest, server: MailServer, tmp_path: Path) -> Channel:
    if request.param == "smtp":
        return Channel(mailer_to(server), lambda: [from_message(received.message) for received in server.messages])
    if request.param == "file":
        return Channel(FileMailer(WRITER, tmp_path), lambda: [from_file(file) for file in files_in(tmp_path)])
    if request.param == "fake":
        fake = RecordingMailer()
        return Channel(fake, lambda: list(from_fake(fake)))
    stream = io.StringIO()
    return Channel(ConsoleMailer(WRITER, stream), lambda: [from_frame(one) for one in stream.getvalue().split("┌")[1:]])


# What every mailer promises


async def test_a_message_arrives_as_it_was_written(channel: Channel) -> None:
    await channel.mailer.send(a_mail(Letter.MESSAGE))
    (arrived,) = channel.arrived()
    assert arrived.headers["Subject"] == "Hello"
    assert arrived.text.startswith("How are you?\nYours, Ada\n\n")


@pytest.mark.parametrize("letter", [letter for letter in Letter if letter is not Letter.MESSAGE])
async def test_every_letter_arrives_with_its_link_or_the_other_address(channel: Channel, letter: Letter) -> None:
    await channel.mailer.send(a_mail(letter))
    (arrived,) = channel.arrived()
    assert arrived.text.startswith("Hello Ada Lovelace,\n")
    assert "Portico" in arrived.headers["Subject"]
    assert arrived.headers["To"] == "ada@example.org"
    assert arrived.headers["From"] == "Portico <noreply@portico.example>"
    links = [urlsplit(line) for line in arrived.text.splitlines() if line.startswith("https://")]
    if letter in LINKS:
        (link,) = links
        assert f"{link.scheme}://{link.netloc}{link.path}" == f"https://portico.example{LINKS[letter]}"
        assert parse_qs(link.query) == {"token": [TOKEN]}
    else:
        assert links == []
        assert ("countess@example.net" in arrived.text) == (letter is not Letter.PASSWORD_CHANGED)


async def test_another_attempt_has_the_same_message_id_and_another_mail_has_another(channel: Channel) -> None:
    await channel.mailer.send(a_mail(mail_id="1"))
    first = channel.arrived()[0].headers["Message-ID"]
    await channel.mailer.send(a_mail(mail_id="1"))
    assert {arrived.headers["Message-ID"] for arrived in channel.arrived()} == {first}
    await channel.mailer.send(a_mail(mail_id="2"))
    assert first == "<1@portico.example>"
    assert channel.arrived()[-1].headers["Message-ID"] == "<2@portico.example>"


async def test_a_mail_carries_the_request_that_caused_it(channel: Channel) -> None:
    with caused_by("req-" + "a" * 124):
        await channel.mailer.send(a_mail(mail_id="1"))
    await channel.mailer.send(a_mail(mail_id="2"))
    caused, uncaused = channel.arrived()
    assert caused.headers["X-Request-ID"] == "req-" + "a" * 124
    assert "X-Request-ID" not in uncaused.headers


@pytest.mark.parametrize("address", ["a@b@example.org", "a..b@example.org", "<ada>@example.org", "ada@-example.org"])
async def test_what_is_no_address_is_rejected_and_goes_nowhere(channel: Channel, address: str) -> None:
    with pytest.raises(MailRejected) as refusal:
        await channel.mailer.send(a_mail(to=address))
    assert address not in str(refusal.value)
    assert channel.arrived() == []


# Files


async def test_files_are_whole_private_and_sorted_by_time(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "mail"
    for mail_id in ("c", "a", "b"):
        await FileMailer(WRITER, folder).send(a_mail(mail_id=mail_id))
    files = files_in(folder)
    assert [file.name.partition("-")[2] for file in files] == ["c.eml", "a.eml", "b.eml"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_the_same_mail_many_times_at_once_is_one_file(tmp_path: Path) -> None:
    mailer = FileMailer(WRITER, tmp_path)
    await asyncio.gather(*(mailer.send(a_mail()) for _ in range(20)))
    await mailer.send(a_mail(name="Grace"))
    (file,) = files_in(tmp_path)
    assert "Hello Grace," in part(parsed(file.read_bytes()), "plain")


async def test_no_id_leads_out_of_the_folder_or_to_another_mail(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    for mail_id in ("../../up", "a-1", "1", "*"):
        await FileMailer(WRITER, folder).send(a_mail(mail_id=mail_id))
    assert len(files_in(folder)) == 4
    assert files_in(tmp_path) == [folder]


async def test_a_folder_that_can_not_be_had_is_undelivered_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("in the way")
    with pytest.raises(MailUndelivered, match="could not be written"):
        await FileMailer(WRITER, tmp_path / "mail").send(a_mail())
    assert [file.name for file in files_in(tmp_path)] == ["mail"]


async def test_an_international_mail_survives_in_a_file(tmp_path: Path) -> None:
    await FileMailer(WRITER, tmp_path).send(a_mail(to="jürgen@bücher.example", name="Jürgen"))
    (file,) = files_in(tmp_path)
    content = file.read_bytes()
    assert "To: jürgen@xn--bcher-kva.example\r\n".encode() in content
    assert part(parsed(content), "plain").startswith("Hello Jürgen,")


# The console


async def test_the_console_shows_a_mail_in_one_write_with_its_link_whole() -> None:
    class Stream(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    stream = Stream()
    await ConsoleMailer(WRITER, stream).send(a_mail())
    lines = stream.getvalue().splitlines()
    assert stream.writes == 1
    assert (lines[0][0], lines[-1][0]) == ("┌", "└")
    assert all(line.startswith("│") for line in lines[1:-1])
    assert any(line.startswith("│ https://portico.example/verify-email?token=") for line in lines)


async def test_the_console_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    await ConsoleMailer(WRITER).send(a_mail())
    assert "Subject: Please confirm your email address for Portico" in capsys.readouterr().out


async def test_a_console_that_can_not_show_a_letter_shows_another_in_its_place() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    await ConsoleMailer(WRITER, stream).send(a_mail(name="Zoë"))
    stream.seek(0)
    assert "Hello Zo?," in stream.read()


async def test_a_closed_console_is_undelivered() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(MailUndelivered):
        await ConsoleMailer(WRITER, stream).send(a_mail())
