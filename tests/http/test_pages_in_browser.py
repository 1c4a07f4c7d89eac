"""The pages behind mailed links, walked through in Chromium with scripts switched off."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, async_playwright

from tests.faults.processes import Process, serving
from tests.running_app import PASSWORD, Mailbox, bearer

ADA: Final = "ada@example.org"
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
async def portico(tmp_path: Path) -> AsyncIterator[Process]:
    async with serving(tmp_path / "data", MAIL_BACKEND="file") as process:
        yield process


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "data" / "mail")


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page that runs no script. Whatever the console says, and whatever is asked for, is noted on it."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: asked_for.append(request.resource_type))
        complaints: list[str] = []
        asked_for: list[str] = []
        yield page
        await browser.close()
        assert set(asked_for) == {"document"}
        assert not [text for text in complaints if "Content Security Policy" in text]


async def test_an_address_is_confirmed_by_a_button_and_a_used_link_says_what_next(
    portico: Process, mailbox: Mailbox, page: Page
) -> None:
    async with portico.client() as client:
        await client.post("/users/", json={"email": ADA, "password": PASSWORD})
        link = f"http://127.0.0.1:{portico.port}/verify-email?token={await mailbox.token(ADA)}"

        await page.goto(link)
        await page.get_by_role("button").click()
        title = await page.title()
        signed_in = bearer((await client.post("/auth/login", json={"email": ADA, "password": PASSWORD})).json())
        verified = (await client.get("/users/me", headers=signed_in)).json()["is_verified"]
        answer = await page.goto(link)

    assert "confirmed" in title
    assert verified is True
    assert answer is not None
    assert answer.status == 400
    assert await page.get_by_role("heading", level=1).inner_text()


async def test_a_password_is_reset_after_a_weak_one_was_refused(portico: Process, mailbox: Mailbox, page: Page) -> None:
    async with portico.client() as client:
        await client.post("/users/", json={"email": ADA, "password": PASSWORD})
        await client.post("/auth/password/forgot", json={"email": ADA})
        token = await mailbox.token(ADA, page="reset-password")

        await page.goto(f"http://127.0.0.1:{portico.port}/reset-password?token={token}")
        await page.get_by_label("New password").fill("weakling")
        await page.get_by_role("button").click()
        error = await page.get_by_role("alert").inner_text()
        await page.get_by_label("New password").fill("Better-Horse-43")
        await page.get_by_role("button").click()
        old = await client.post("/auth/login", json={"email": ADA, "password": PASSWORD})
        new = await client.post("/auth/login", json={"email": ADA, "password": "Better-Horse-43"})

    assert "Password must contain uppercase letter" in error
    assert (old.status_code, new.status_code) == (401, 200)


async def test_an_address_is_changed_by_the_link_mailed_to_the_new_one(
    portico: Process, mailbox: Mailbox, page: Page
) -> None:
    async with portico.client() as client:
        await client.post("/users/", json={"email": ADA, "password": PASSWORD})
        signed_in = bearer((await client.post("/auth/login", json={"email": ADA, "password": PASSWORD})).json())
        body = {"new_email": "countess@example.org", "password": PASSWORD}
        await client.post("/users/me/email", json=body, headers=signed_in)
        token = await mailbox.token("countess@example.org")

        await page.goto(f"http://127.0.0.1:{portico.port}/change-email?token={token}")
        await page.get_by_role("button").click()
        changed = (await client.get("/users/me", headers=signed_in)).json()

    assert (changed["email"], changed["is_verified"]) == ("countess@example.org", True)
