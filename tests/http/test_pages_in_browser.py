"""The pages behind mailed links, walked through in Chromium with scripts switched off.

One deployment will do: how the pages look to a browser depends on none, and `test_pages.py` asks all of them.
"""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from playwright.async_api import Page, Request, Response, async_playwright

from tests.faults.processes import Process, register, serving, sign_in
from tests.running_app import PASSWORD, Mailbox, bearer

ADA: Final = "ada@example.org"
NEW: Final = "countess@example.org"
BETTER: Final = "Better-Horse-43"
PATIENCE: Final = 60_000
"""Milliseconds until something must have happened."""
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
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
async def client(portico: Process) -> AsyncIterator[httpx2.AsyncClient]:
    async with portico.client() as client:
        yield client


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "data" / "mail")


@dataclass
class Visit:
    """A browser's page, what it asked for, and what its console said."""

    root: str
    page: Page
    requests: list[Request] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    async def open(self, link: str) -> Response:
        answer = await self.page.goto(f"{self.root}/{link}")
        assert answer is not None
        return answer

    async def press(self) -> Response:
        """What the page's one button leads to."""
        async with self.page.expect_navigation() as navigation:
            await self.page.get_by_role("button").click()
        answer = await navigation.value
        assert answer is not None
        return answer

    async def heading(self) -> str:
        return await self.page.get_by_role("heading", level=1).inner_text()


@pytest.fixture
async def visit(portico: Process) -> AsyncIterator[Visit]:
    """A visit without scripts, in which pages ask for nothing but themselves, and break none of their own rules."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS), timeout=PATIENCE)
        page = await (await browser.new_context(java_script_enabled=False)).new_page()
        page.set_default_timeout(PATIENCE)
        visit = Visit(portico.root, page)
        page.on("console", lambda message: visit.console.append(message.text))
        page.on("request", lambda request: visit.requests.append(request))  # noqa: PLW0108 - it takes no built-in
        yield visit
        await browser.close()
    assert {request.resource_type for request in visit.requests} == {"document"}
    assert all(request.url.startswith(f"{portico.root}/") for request in visit.requests)
    assert not [text for text in visit.console if "Content Security Policy" in text]


async def me(client: httpx2.AsyncClient, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    response = await client.get("/users/me", headers=headers)
    return response.status_code, response.json()


async def says_what_next(visit: Visit, link: str) -> None:
    assert (await visit.open(link)).status == 400
    assert (await visit.heading()).startswith("This link ")
    assert await visit.page.get_by_role("heading", name="What to do next").is_visible()
    assert await visit.page.get_by_role("listitem").count() > 1


async def test_an_address_is_confirmed_by_a_button_and_a_used_link_says_what_next(
    client: httpx2.AsyncClient, mailbox: Mailbox, visit: Visit
) -> None:
    await register(client, ADA)
    ada = bearer((await sign_in(client, ADA)).json())
    link = f"verify-email?token={await mailbox.token(ADA, page='verify-email')}"

    await visit.open(link)
    assert await visit.page.get_by_text(ADA).is_visible()
    assert (await me(client, ada))[1]["is_verified"] is False
    done = await visit.press()

    assert (done.status, await visit.heading()) == (200, "Your address is confirmed")
    assert (await me(client, ada))[1]["is_verified"] is True
    await says_what_next(visit, link)


async def test_a_password_is_reset_after_a_weak_one_was_refused(
    client: httpx2.AsyncClient, mailbox: Mailbox, visit: Visit
) -> None:
    await register(client, ADA)
    ada = bearer((await sign_in(client, ADA)).json())
    await client.post("/auth/password/forgot", json={"email": ADA})
    link = f"reset-password?token={await mailbox.token(ADA, page='reset-password')}"
    new_password = visit.page.get_by_label("New password")

    await visit.open(link)
    await new_password.fill("weakling")
    refused = await visit.press()
    assert refused.status == 422
    assert "Password must contain uppercase letter" in await visit.page.get_by_role("alert").inner_text()
    assert await new_password.input_value() == ""
    assert (await me(client, ada))[0] == 200
    await new_password.fill(BETTER)
    done = await visit.press()

    assert (done.status, await visit.heading()) == (200, "Your password is changed")
    assert "username" not in (visit.requests[-1].post_data or "")
    assert (await me(client, ada))[0] == 401
    assert (await sign_in(client, ADA, PASSWORD)).status_code == 401
    assert (await sign_in(client, ADA, BETTER)).status_code == 200
    await says_what_next(visit, link)


async def test_an_address_is_changed_by_the_link_mailed_to_the_new_one(
    client: httpx2.AsyncClient, mailbox: Mailbox, visit: Visit
) -> None:
    await register(client, ADA)
    ada = bearer((await sign_in(client, ADA)).json())
    await client.post("/users/me/email", json={"new_email": NEW, "password": PASSWORD}, headers=ada)
    link = f"change-email?token={await mailbox.token(NEW, page='change-email')}"

    await visit.open(link)
    assert await visit.page.get_by_text(NEW).is_visible()
    assert (await me(client, ada))[1]["email"] == ADA
    done = await visit.press()

    assert (done.status, await visit.heading()) == (200, "Your address is changed")
    changed = (await me(client, ada))[1]
    assert (changed["email"], changed["is_verified"]) == (NEW, True)
    await says_what_next(visit, link)


async def test_a_long_address_fits_on_a_small_phone(client: httpx2.AsyncClient, mailbox: Mailbox, visit: Visit) -> None:
    address = f"{'a' * 60}@{'b' * 60}.example.org"
    await register(client, address)
    await visit.page.set_viewport_size({"width": 320, "height": 568})

    await visit.open(f"verify-email?token={await mailbox.token(address, page='verify-email')}")

    box = await visit.page.get_by_text(address).bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320
