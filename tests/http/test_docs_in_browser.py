"""The pages of the documentation, used in Chromium on a machine that has no internet.

One deployment will do: what they show depends on none.
"""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.faults.processes import Process, register, serving
from tests.running_app import PASSWORD

ADA: Final = "ada@example.org"
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PATIENCE: Final = 60_000
"""Milliseconds until something must have appeared."""


@pytest.fixture
async def portico(tmp_path: Path) -> AsyncIterator[Process]:
    async with serving(tmp_path / "data", MAIL_BACKEND="file") as process:
        yield process


@pytest.fixture
async def page(portico: Process) -> AsyncIterator[Page]:
    """A page on which whatever is asked for must come from the server or be kept in, and no script may fail."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`")
    asked_for: list[str] = []
    blocked: list[str] = []
    failures: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS), timeout=PATIENCE)
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked_for.append(request.url))
        page.on("requestfailed", lambda request: blocked.append(request.url) if request.failure == "csp" else None)
        page.on("pageerror", lambda error: failures.append(str(error)))
        yield page
        await browser.close()
    assert asked_for
    ours = (f"{portico.root}/", "data:", "blob:")
    assert not [url for url in asked_for if not url.startswith(ours) and url not in blocked]
    assert not failures


async def test_one_signs_in_and_tries_an_operation_out(portico: Process, page: Page) -> None:
    async with portico.client() as client:
        await register(client, ADA)

    await page.goto(f"{portico.root}/docs")
    await page.locator(".btn.authorize").click()
    await page.locator("#oauth_username").fill(ADA)
    await page.locator("#oauth_password").fill(PASSWORD)
    await page.locator(".auth-btn-wrapper .authorize").click()
    await page.locator(".modal-ux .btn-done").click()
    operation = page.locator("#operations-users-get_own_user")
    await operation.locator(".opblock-summary-control").click()
    await operation.locator(".try-out__btn").click()
    await operation.locator(".execute").click()
    answer = operation.locator(".live-responses-table .response").first

    await expect(answer.locator(".response-col_status")).to_contain_text("200", timeout=PATIENCE)
    await expect(answer).to_contain_text(ADA, timeout=PATIENCE)


async def test_redoc_shows_the_operations(portico: Process, page: Page) -> None:
    await page.goto(f"{portico.root}/redoc")

    await expect(page.get_by_role("heading", name="Register user")).to_be_visible(timeout=PATIENCE)
    await page.wait_for_load_state("networkidle")
