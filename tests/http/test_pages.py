"""The pages behind mailed links."""

import base64
import hashlib
import re
from typing import Any

import pytest

from tests.running_app import PASSWORD, RunningApp

ADA = "ada@example.org"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_opening_the_link_spends_nothing_and_the_button_does(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    link = {"token": await app.mailbox.token(ADA)}

    for method in ("GET", "HEAD", "GET"):
        opened = await app.at_root.request(method, "/verify-email", params=link)
        assert opened.status_code == 200
    before = (await app.http.get("/users/me", headers=ada)).json()["is_verified"]
    pressed = await app.at_root.post("/verify-email", data=link)
    again = await app.at_root.post("/verify-email", data=link)

    assert (before, pressed.status_code, again.status_code) == (False, 200, 400)
    assert (await app.http.get("/users/me", headers=ada)).json()["is_verified"] is True


async def test_a_weak_or_leaked_password_leaves_the_link_to_try_again(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    await app.http.post("/auth/password/forgot", json={"email": ADA})
    token = await app.mailbox.token(ADA, page="reset-password")

    for password in ("weak", "Password1"):
        refused = await app.at_root.post("/reset-password", data={"token": token, "new_password": password})
        assert refused.status_code == 422
        assert f'value="{token}"' in refused.text
        assert f'value="{password}"' not in refused.text
    done = await app.at_root.post("/reset-password", data={"token": token, "new_password": "Better-Horse-43"})

    assert done.status_code == 200
    assert (await app.http.get("/users/me", headers=ada)).status_code == 401
    await app.sign_in(ADA, "Better-Horse-43")


async def test_an_address_taken_meanwhile_is_told(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    await app.http.post("/users/me/email", json={"new_email": "new@example.org", "password": PASSWORD}, headers=ada)
    token = await app.mailbox.token("new@example.org")
    await app.register("new@example.org")

    assert (await app.at_root.post("/change-email", data={"token": token})).status_code == 409


@pytest.mark.parametrize("path", ["/verify-email", "/reset-password", "/change-email"])
@pytest.mark.parametrize(
    "query", ["", "token=", "token=a&token=b", "token=%00", "token=" + "a" * 4000, "token=unknown"]
)
async def test_a_link_that_is_not_one_gets_a_page_that_says_what_to_do(app: RunningApp, path: str, query: str) -> None:
    response = await app.at_root.get(f"{path}?{query}")

    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("text/html")
    assert "<h1" in response.text


async def test_a_link_for_one_purpose_opens_no_other_page(app: RunningApp) -> None:
    await app.register(ADA)
    link = {"token": await app.mailbox.token(ADA)}

    assert (await app.at_root.get("/reset-password", params=link)).status_code == 400
    assert (await app.at_root.post("/change-email", data=link)).status_code == 400


async def test_the_page_may_load_and_run_nothing_and_be_kept_and_framed_nowhere(start_app: Any) -> None:
    app = await start_app(project_name="A <b>bold</b> & name")
    await app.register(ADA)
    pages = [
        await app.at_root.get("/verify-email", params={"token": await app.mailbox.token(ADA)}),
        await app.at_root.get("/reset-password"),
    ]

    for page in pages:
        style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
        assert style is not None
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        policy = page.headers["Content-Security-Policy"]
        assert f"style-src 'sha256-{digest}'" in policy
        assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
        for name in ("Cache-Control", "Referrer-Policy", "X-Content-Type-Options", "Content-Security-Policy"):
            assert len(page.headers.get_list(name)) == 1
        assert page.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script|style=|https?://", page.text)
        assert "<b>bold" not in page.text
        assert "A &lt;b&gt;bold&lt;/b&gt; &amp; name" in page.text


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({**FORM, "Sec-Fetch-Site": "cross-site"}, b"token=a", 403),
        ({"Content-Type": "application/json"}, b'{"token": "a"}', 415),
        ({**FORM, "Content-Encoding": "gzip"}, b"token=a", 415),
        (FORM, b"token=" + b"a" * 20_000, 413),
        (FORM, b"token=%ff%fe", 400),
        ({**FORM, "Sec-Fetch-Site": "same-origin", "Origin": "null"}, b"token=a", 400),
    ],
)
async def test_a_form_that_cannot_be_taken_gets_a_page(
    app: RunningApp, headers: dict[str, str], body: bytes, status: int
) -> None:
    response = await app.at_root.post("/verify-email", content=body, headers=headers)

    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")


async def test_a_token_in_the_address_of_a_post_is_not_looked_at(app: RunningApp) -> None:
    await app.register(ADA)
    token = await app.mailbox.token(ADA)

    assert (await app.at_root.post(f"/verify-email?token={token}", data={"other": "x"})).status_code == 400
    assert (await app.at_root.post("/verify-email", data={"token": token})).status_code == 200
