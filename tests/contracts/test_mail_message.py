"""How letters are worded, and that nothing which people typed can bend them."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.mail.message import MessageWriter, as_bytes
from application.ports.mail import Letter, Mail, MailRejected, MailUndelivered
from domain.users import Email
from tests.contracts.mails import WRITER, a_mail, caused_by, parsed, part
from tests.mail_server import Received

HEADERS = ["To", "From", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]


def test_html_and_text_say_the_same_link_and_html_loads_nothing_from_elsewhere() -> None:
    message = parsed(as_bytes(WRITER.write(a_mail())))
    assert [one.get_content_type() for one in message.iter_parts()] == ["text/plain", "text/html"]
    html = part(message, "html")
    link = Received("", "", as_bytes(WRITER.write(a_mail())), False, False, None).link
    assert html.count(f'href="{link}"') == 2, "as a button and in full"
    assert f">{link}<" in html
    assert '<html lang="en"' in html
    assert not any(loading in html.lower() for loading in ("<img", "src=", "url(", "@import", "<link", "<script"))
    assert html.count("href=") == html.count(f'href="{link}"') + html.count('href="https://portico.example"')


def test_a_mail_says_that_a_machine_sent_it_so_that_no_machine_answers() -> None:
    message = parsed(as_bytes(WRITER.write(a_mail())))
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.tzinfo is not None


def test_markup_in_a_name_is_shown_not_obeyed() -> None:
    html = part(WRITER.write(a_mail(name="Ada <b>&amp")), "html")
    assert "Hello Ada &lt;b&gt;&amp;amp," in html


@pytest.mark.parametrize(
    "name",
    ["Win at evil.example", "https://evil.example", "www.evil", "ask@evil", "evil。example", "x" * 81, "\r\n", ""],
)
def test_a_name_that_carries_a_message_of_its_own_is_not_greeted(name: str) -> None:
    message = WRITER.write(a_mail(name=name))
    assert part(message, "plain").startswith("Hello,\n")
    assert "Hello," in part(message, "html")


@pytest.mark.parametrize("name", ["J. R. R. Tolkien", "Zoë O'Hara-Šimić", "山田 太郎", "Dr. Ada"])
def test_peoples_names_are_greeted_as_they_are(name: str) -> None:
    assert part(WRITER.write(a_mail(name=name)), "plain").startswith(f"Hello {name},\n")


def test_a_link_is_built_from_the_public_url_whatever_that_ends_with() -> None:
    writer = MessageWriter("https://example.org/app/", "Portico", "noreply@example.org", "Portico")
    assert "\nhttps://example.org/app/verify-email?token=s3cret" in part(writer.write(a_mail()), "plain")


@pytest.mark.parametrize("name", ["Acme, Inc.", 'The "Best" Shop', "Büro für Zeichnungen, Köln", "A" * 80, ""])
def test_our_own_name_arrives_as_it_was_set(name: str) -> None:
    message = parsed(as_bytes(MessageWriter("https://x.example", "P", "noreply@x.example", name).write(a_mail())))
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, "noreply@x.example")


def test_long_names_of_ours_are_folded_into_short_lines() -> None:
    writer = MessageWriter("https://x.example", "Ω" * 80, "noreply@x.example", "Ω" * 80)
    head = as_bytes(writer.write(a_mail())).partition(b"\r\n\r\n")[0]
    assert head.count(b"=?utf-8?") > 4
    assert max(len(line) for line in head.split(b"\r\n")) <= 78, "RFC 5322"


def test_a_long_request_id_stays_legible_on_the_wire() -> None:
    with caused_by("z" * 128):
        assert b"\r\nX-Request-ID: " + b"z" * 128 + b"\r\n" in as_bytes(WRITER.write(a_mail()))


def test_a_letter_with_a_link_is_never_written_without_its_token() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        WRITER.write(Mail(id="1", letter=Letter.RESET_PASSWORD, to=Email("ada@example.org"), name=None))


@pytest.mark.parametrize(
    ("address", "transported"),
    [
        ("root@localhost", "root@localhost"),
        ("a.b-c" * 12 + "@" + "d.e-f" * 37, "a.b-c" * 12 + "@" + "d.e-f" * 37),
        ("o'hara+x@intranet.local", "o'hara+x@intranet.local"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
        ("δοκιμή@παράδειγμα.example", "δοκιμή@xn--hxajbheg2az3al.example"),
    ],
)
def test_every_real_address_is_transported_right(address: str, transported: str) -> None:
    message = WRITER.write(a_mail(to=address))
    assert message["To"].addresses[0].addr_spec == transported
    assert f" {transported}\r\n".encode() in as_bytes(message)


def test_a_wrong_address_of_ours_is_for_us_to_mend_and_costs_no_mail() -> None:
    writer = MessageWriter("https://portico.example", "Portico", "no reply", "Portico")
    with pytest.raises(MailUndelivered, match="sender"):
        writer.write(a_mail())


def test_lines_end_with_crlf_and_are_no_longer_than_smtp_allows() -> None:
    content = as_bytes(WRITER.write(a_mail(name="Ä" * 80)))
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    assert max(len(line) for line in content.split(b"\r\n")) <= 998


hostile = st.text() | st.lists(
    st.sampled_from(
        ["\r\n", "\n", "\r", "\x00", "\x0b", "\x85", "\u2028", "Bcc: eve@evil.example", ",", "<eve@evil.example>"]
    )
    | st.sampled_from(
        ['"', "\\", "(", ";", ":", "é", "=?utf-8?q?=0D=0ABcc:_eve=40evil.example?=", " ", "\ud800", "\u202e"]
    )
).map("".join)


@example(name="", from_name="", project="=?utf-8?q?=0D=0ABcc:_eve=40evil.example?=")
@example(name="", from_name="Ä, <eve@evil.example>", project="")
@example(name="", from_name="0" * 70 + "::=?", project="")
@given(name=hostile, from_name=hostile, project=hostile)
def test_no_name_can_add_a_header_or_an_address(name: str, from_name: str, project: str) -> None:
    writer = MessageWriter("https://portico.example", project, "noreply@portico.example", from_name)
    message = parsed(as_bytes(writer.write(a_mail(name=name))))
    assert message.keys() == HEADERS
    assert [address.addr_spec for address in message["From"].addresses] == ["noreply@portico.example"]
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@example.org"]
    assert [one.get_content_type() for one in message.iter_parts()] == ["text/plain", "text/html"]


@given(local=hostile, domain=hostile | st.just("example.org"))
def test_no_address_can_add_a_header_or_another_address(local: str, domain: str) -> None:
    mail = Mail(id="1", letter=Letter.PASSWORD_CHANGED, to=str.__new__(Email, f"{local}@{domain}"), name=None)
    try:
        message = parsed(as_bytes(WRITER.write(mail)))
    except MailRejected:
        return
    assert message.keys() == HEADERS
    (recipient,) = message["To"].addresses
    assert recipient.addr_spec.count("@") == 1
    assert recipient.domain.isascii()
    assert not local.isascii() or recipient.username == local


@given(other=hostile)
def test_another_address_in_a_letter_is_shown_on_one_line(other: str) -> None:
    mail = Mail(id="1", letter=Letter.EMAIL_CHANGED, to=Email("ada@example.org"), name=None, other_email=other)
    ordinary = Mail(id="1", letter=Letter.EMAIL_CHANGED, to=Email("ada@example.org"), name=None, other_email="x")
    lines = part(WRITER.write(mail), "plain").splitlines()
    assert len(lines) == len(part(WRITER.write(ordinary), "plain").splitlines())


def test_starting_up_loads_neither_the_template_engine_nor_the_smtp_client() -> None:
    code = (
        "import sys, adapters.mail.console, adapters.mail.file, adapters.mail.smtp\n"
        "print(sorted({'jinja2', 'aiosmtplib', 'email_validator', 'idna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def a_message(subject: str, message: str) -> Mail:
    to = Email("ada@example.org")
    return Mail(id="1", letter=Letter.MESSAGE, to=to, name=None, subject=subject, message=message)


def test_a_message_comes_word_for_word_in_text_and_in_html() -> None:
    message = parsed(as_bytes(WRITER.write(a_message("Wichtig: <b>Ω</b>", "Dear Ada,\r\n\r\n\t1 < 2 & 3\nx\x1b[31m"))))

    assert message["Subject"] == "Wichtig: <b>Ω</b>"
    assert part(message, "plain").startswith("Dear Ada,\n\n\t1 < 2 & 3\nx[31m\n\n-- \nPortico")
    html = part(message, "html")
    assert "Dear Ada,<br>\n<br>\n\t1 &lt; 2 &amp; 3<br>\nx[31m</p>" in html
    assert "Wichtig: &lt;b&gt;Ω&lt;/b&gt;</h1>" in html
    assert "Hello" not in part(message, "plain") + html


@given(subject=hostile, body=hostile)
def test_no_subject_and_no_message_can_add_a_header_an_address_or_markup(subject: str, body: str) -> None:
    message = parsed(as_bytes(WRITER.write(a_message(subject, body + "<script>"))))

    assert message.keys() == HEADERS
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@example.org"]
    assert [one.get_content_type() for one in message.iter_parts()] == ["text/plain", "text/html"]
    assert "<script" not in part(message, "html")
