"""The pages behind mailed links."""

import asyncio
import base64
import hashlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from dependency_injector.providers import Object

from adapters.persistence.migrate import migrate
from tests.fakes import SettableClock
from tests.http.conftest import StartApp
from tests.postgres_server import PostgresServer
from tests.running_app import PASSWORD, RunningApp, run_app, settings_for

ADA: Final = "ada@example.org"
NEW: Final = "countess@example.org"
BETTER: Final = "Better-Horse-43"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}
NOTHING_ELSE: Final = "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
LIFETIMES: Final = {"verify-email": 24, "reset-password": 1, "change-email": 24}
"""Each page, and for how many hours its link works."""
ASKING: Final = {
    "verify-email": ("/auth/verify-email/resend", {"email": ADA}),
    "reset-password": ("/auth/password/forgot", {"email": ADA}),
    "change-email": ("/users/me/email", {"new_email": NEW, "password": PASSWORD}),
}
each_page: Final = pytest.mark.parametrize("page", LIFETIMES)


def outcome(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def ask(app: RunningApp, page: str, ada: dict[str, str]) -> None:
    """Have a link to this page mailed once more."""
    path, body = ASKING[page]
    assert (await app.http.post(path, json=body, headers=ada)).status_code == 202


async def link(app: RunningApp, page: str, count: int = 1) -> str:
    """The token of the last link to this page, once there are so many."""
    return await app.mailbox.token(NEW if page == "change-email" else ADA, count, page)


async def ada_with_link(app: RunningApp, page: str) -> tuple[dict[str, str], str]:
    """The header that signs Ada in, and the token of a link to this page that she was mailed."""
    _, ada = await app.user(ADA)
    if page != "verify-email":  # that one comes by itself
        await ask(app, page, ada)
    return ada, await link(app, page)


async def press(app: RunningApp, page: str, token: str, new_password: str = BETTER) -> Any:
    """Send the page's form."""
    return await app.at_root.post(f"/{page}", data={"token": token, "new_password": new_password})


def shown(response: Any, status: int) -> str:
    """The page's text, once it is seen to be one of ours: it runs and loads nothing, is kept and framed nowhere."""
    assert response.status_code == status
    style = re.search(r"<style>(.*?)</style>", response.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; {NOTHING_ELSE}"
    for name, value in (*HEADERS.items(), ("Content-Security-Policy", policy)):
        assert response.headers.get_list(name) == [value]
    assert not re.search(r"<script|style=|\son\w+=|src=|href=|url\(|@import|//", response.text, re.IGNORECASE)
    assert len(re.findall(r"<h1>[^<]+</h1>", response.text)) == 1
    text: str = response.text
    return text


def says_what_to_do(response: Any, status: int = 400) -> None:
    assert "What to do next" in shown(response, status)
    assert "<form" not in response.text


async def is_dead(app: RunningApp, page: str, token: str) -> None:
    says_what_to_do(await app.at_root.get(f"/{page}", params={"token": token}))
    says_what_to_do(await press(app, page, token))


@each_page
async def test_the_page_may_load_and_run_nothing_and_be_kept_and_framed_nowhere(app: RunningApp, page: str) -> None:
    _, token = await ada_with_link(app, page)

    shown(await app.at_root.get(f"/{page}", params={"token": token}), 200)
    shown(await press(app, page, token), 200)
    shown(await press(app, page, token), 400)


@each_page
async def test_opening_the_link_spends_nothing_and_the_button_does(app: RunningApp, page: str) -> None:
    ada, token = await ada_with_link(app, page)
    before = (await app.http.get("/users/me", headers=ada)).json()

    assert (await app.at_root.head(f"/{page}", params={"token": token})).status_code == 200
    opened = await app.at_root.get(f"/{page}", params={"token": token})
    assert f'value="{token}"' in shown(opened, 200)
    assert f"<bdi>{NEW if page == 'change-email' else ADA}</bdi>" in opened.text
    assert (await app.http.get("/users/me", headers=ada)).json() == before

    assert "<form" not in shown(await press(app, page, token), 200)
    await is_dead(app, page, token)


@each_page
async def test_a_superseded_link_is_dead(app: RunningApp, page: str) -> None:
    ada, token = await ada_with_link(app, page)
    await ask(app, page, ada)
    later = await link(app, page, 2)

    await is_dead(app, page, token)
    shown(await press(app, page, later), 200)


@each_page
async def test_an_expired_link_is_dead(app_with_clock: RunningApp, clock: SettableClock, page: str) -> None:
    app = app_with_clock
    _, token = await ada_with_link(app, page)
    clock.advance(timedelta(hours=LIFETIMES[page]) - timedelta(seconds=1))
    shown(await app.at_root.get(f"/{page}", params={"token": token}), 200)
    clock.advance(timedelta(seconds=1))

    await is_dead(app, page, token)


@each_page
async def test_a_link_for_one_purpose_opens_no_other_page(app: RunningApp, page: str) -> None:
    _, token = await ada_with_link(app, page)

    for other in LIFETIMES.keys() - {page}:
        await is_dead(app, other, token)
    shown(await press(app, page, token), 200)


@each_page
async def test_the_link_of_somebody_who_left_is_dead(app: RunningApp, page: str) -> None:
    ada, token = await ada_with_link(app, page)
    await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=ada)

    await is_dead(app, page, token)


@each_page
async def test_what_is_no_link_gets_a_page_that_says_what_to_do(app: RunningApp, page: str) -> None:
    _, token = await ada_with_link(app, page)

    twice, with_nul = f"token={token}&token={token}", f"token={token}%00"
    for query in ("other=x", "token=", twice, with_nul, "token=" + "a" * 4000, "token=unknown"):
        says_what_to_do(await app.at_root.get(f"/{page}?{query}"))
        form = f"{query}&new_password={BETTER}"
        says_what_to_do(await app.at_root.post(f"/{page}", content=form, headers=FORM))
    shown(await press(app, page, token), 200)


async def test_a_password_that_will_not_do_leaves_the_link_to_try_again(app: RunningApp) -> None:
    ada, token = await ada_with_link(app, "reset-password")

    for password, reason in (
        ("weakling", "must contain uppercase letter"),
        ("Password1", "leaked passwords. Please choose another one"),
        ("Horse\0-43", "a character that can&#39;t be used"),
        ("", "8 to 100 characters long"),
    ):
        text = shown(await press(app, "reset-password", token, password), 422)
        assert reason in text
        assert f'value="{token}"' in text
        assert not password or password not in text
    done = shown(await press(app, "reset-password", token), 200)

    assert BETTER not in done
    assert outcome(await app.http.get("/users/me", headers=ada)) == (401, "invalid_token")
    assert (await app.http.post("/auth/login", json={"email": ADA, "password": PASSWORD})).status_code == 401
    await app.sign_in(ADA, BETTER)
    says_what_to_do(await press(app, "reset-password", token, "weakling"))


async def test_a_password_manager_learns_whose_password_it_keeps(app: RunningApp) -> None:
    _, token = await ada_with_link(app, "reset-password")

    response = await press(app, "reset-password", token, "weakling")
    (field,) = re.findall(r"<input [^>]*autocomplete=\"username\"[^>]*>", shown(response, 422))

    assert f'value="{ADA}"' in field
    assert " name=" not in field  # so it isn't sent


async def test_an_address_taken_meanwhile_is_told_and_the_link_still_works(app: RunningApp) -> None:
    ada, token = await ada_with_link(app, "change-email")
    _, rival = await app.user(NEW)

    says_what_to_do(await press(app, "change-email", token), 409)
    assert (await app.http.get("/users/me", headers=ada)).json()["email"] == ADA

    await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=rival)
    shown(await press(app, "change-email", token), 200)
    assert (await app.http.get("/users/me", headers=ada)).json()["email"] == NEW


async def test_names_and_addresses_are_shown_as_text(start_app: StartApp) -> None:
    app = await start_app(project_name="A <b>bold</b> & name")
    address = "o'hara&co@example.org"
    await app.register(address)
    token = await app.mailbox.token(address)

    opened = shown(await app.at_root.get("/verify-email", params={"token": token}), 200)

    for text in (opened, shown(await app.at_root.get("/reset-password"), 400)):
        assert "A &lt;b&gt;bold&lt;/b&gt; &amp; name" in text
        assert "<b>bold" not in text
    assert "<bdi>o&#39;hara&amp;co@example.org</bdi>" in opened


@each_page
@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (FORM, "token=%ff%fe&", 400),
        (FORM, "&".join(f"field{n}=x" for n in range(9)) + "&", 400),
        ({**FORM, "Sec-Fetch-Site": "cross-site"}, "", 403),
        (FORM, "other=" + "a" * 20_000 + "&", 413),
        ({"Content-Type": "application/json"}, "", 415),
        ({"Content-Type": "multipart/form-data; boundary=b"}, "", 415),
        ({**FORM, "Content-Encoding": "gzip"}, "", 415),
    ],
)
async def test_a_form_that_cannot_be_taken_gets_a_page_and_spends_nothing(
    app: RunningApp, page: str, headers: dict[str, str], body: str, status: int
) -> None:
    _, token = await ada_with_link(app, page)
    sent = f"{body}token={token}&new_password={BETTER}"

    says_what_to_do(await app.at_root.post(f"/{page}", content=sent, headers=headers), status)
    shown(await press(app, page, token), 200)


async def test_a_form_of_our_own_page_is_taken_though_its_origin_is_withheld(app: RunningApp) -> None:
    _, token = await ada_with_link(app, "verify-email")
    headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}  # what `no-referrer` makes a browser send
    shown(await app.at_root.post("/verify-email", data={"token": token}, headers=headers), 200)


@each_page
async def test_a_token_in_the_address_of_a_post_is_not_looked_at(app: RunningApp, page: str) -> None:
    _, token = await ada_with_link(app, page)

    says_what_to_do(await app.at_root.post(f"/{page}?token={token}", data={"new_password": BETTER}))
    shown(await app.at_root.post(f"/{page}?token=x", data={"token": token, "new_password": BETTER}), 200)


@each_page
async def test_a_forged_host_changes_nothing(app: RunningApp, page: str) -> None:
    _, token = await ada_with_link(app, page)
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "ftp"}

    plain = await app.at_root.get(f"/{page}", params={"token": token})
    answer = await app.at_root.get(f"/{page}", params={"token": token}, headers=forged)

    assert shown(answer, 200) == plain.text
    assert f'action="{page}"' in plain.text


@each_page
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
async def test_a_method_that_a_page_does_not_have(app: RunningApp, page: str, method: str) -> None:
    response = await app.at_root.request(method, f"/{page}", params={"token": "secret"})

    assert outcome(response) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, POST"
    assert response.headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert response.headers.get_list("Referrer-Policy") == ["no-referrer"]
    assert "secret" not in response.text


async def test_a_database_that_is_away_gets_a_page(own_postgres: PostgresServer, tmp_path: Path) -> None:
    """One deployment will do: only a server of this test's own can be stopped."""
    await asyncio.to_thread(own_postgres.create_database, "portico")
    url = own_postgres.url("portico")
    await asyncio.to_thread(migrate, url)
    async with run_app(settings_for(tmp_path / "data", database_url=url), with_worker=False) as app:
        await asyncio.to_thread(own_postgres.stop_immediately)

        for response in (await app.at_root.get("/change-email?token=a"), await press(app, "reset-password", "a")):
            says_what_to_do(response, 503)
            assert int(response.headers["Retry-After"]) > 0


async def test_what_fails_gets_a_page(app: RunningApp) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    for use_case in (app.container.check_mailed_token, app.container.verify_email):
        use_case.override(Object(fail))

    for response in (await app.at_root.get("/change-email?token=a"), await press(app, "verify-email", "a")):
        says_what_to_do(response, 500)
        assert "secret" not in response.text
