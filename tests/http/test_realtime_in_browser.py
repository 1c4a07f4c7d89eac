"""The client that the README shows, word for word, in Chromium, on a page of another origin.

One deployment will do: the client sees none, and `test_channels.py` asks all of them.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page, async_playwright

from tests.faults.processes import Process, serving, serving_at
from tests.live import Account, account, greeted
from tests.ports import reserved_port
from tests.running_app import copy_database

README: Final = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PATIENCE: Final = 60_000
"""Milliseconds."""
KITCHEN: Final = "room:kitchen"
USED: Final = """
const told = [], resets = [];
let token;
const start = (url, first) => {
  token = first;
  window.listening = listen({
    url, getToken: async () => token, channels: ["items", "room:kitchen"],
    onEvent: (message) => told.push(message), onReset: (channel) => resets.push(channel),
  });
};
"""


def client_of_the_readme() -> str:
    blocks: list[str] = re.findall(r"^```js\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (code,) = [block for block in blocks if "function listen(" in block]
    return code


@asynccontextmanager
async def page_server() -> AsyncIterator[str]:
    """The origin of a page that has the client in it."""
    body = f"<!doctype html><title>A page</title><script>{client_of_the_readme()}{USED}</script>".encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: "

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + str(len(body)).encode() + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def opened_page(origin: str) -> AsyncIterator[Page]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no Chromium on this machine: `apt-get install chromium`")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS), timeout=PATIENCE)
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE)
        await page.goto(origin)
        yield page
        await browser.close()


async def titles(page: Page) -> list[str]:
    told: list[Any] = await page.evaluate("told")
    return [event["data"]["title"] for event in told if event["event"] == "item.created"]


async def until(page: Page, condition: str) -> None:
    await page.wait_for_function(condition)


async def open_sockets(page: Page, portico: Process, ada: Account) -> None:
    await page.evaluate(
        "([url, token]) => start(url, token)", [f"ws://127.0.0.1:{portico.port}/ws/protected", ada.token]
    )


async def test_the_client_of_the_readme_connects_again_and_misses_nothing(
    tmp_path: Path, sqlite_template: Path
) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    with reserved_port() as port:
        async with page_server() as origin, opened_page(origin) as page:
            settings = {"MAIL_BACKEND": "file", "BACKEND_CORS_ORIGINS": f'["{origin}"]'}
            async with serving_at(port, tmp_path / "data", **settings) as portico, portico.client() as http:
                ada, grace = await account(http, "ada"), await account(http, "grace")
                await open_sockets(page, portico, ada)
                await until(page, "resets.length === 2")
                await ada.create(http, "first")
                await until(page, "told.length === 1")

                await page.evaluate("listening.send({action: 'publish', channel: 'room:kitchen', data: 'Hello'})")
                async with greeted(portico, grace) as other:
                    await other.subscribe(KITCHEN)
                    await until(page, "told.some(({event}) => event === 'presence.joined')")

                portico.kill()
                await portico.exit_status()
            async with serving_at(port, tmp_path / "data", **settings) as portico, portico.client() as http:
                await until(page, "resets.filter((channel) => channel === 'room:kitchen').length > 1")
                await ada.create(http, "second")
                await until(page, "told.some(({data}) => data?.title === 'second')")
                assert await titles(page) == ["first", "second"]
                resets: list[str] = await page.evaluate("resets")
                assert resets.count("items") == 1
                await page.evaluate("listening.end()")


async def test_the_client_of_the_readme_connects_no_more_once_it_is_ended() -> None:
    async with page_server() as origin, opened_page(origin) as page:
        made = await page.evaluate(
            "() => new Promise((done) => {"
            "  let give, made = 0;"
            "  window.WebSocket = class extends WebSocket {"
            "    constructor(...all) { super(...all); made += 1; }"
            "  };"
            "  const getToken = () => new Promise((resolve) => { give = resolve; });"
            "  listen({url: 'ws://127.0.0.1:9', getToken, channels: []}).end();"
            "  give('token');"
            "  setTimeout(() => done(made)); })"
        )
    assert made == 0


async def test_a_page_of_an_origin_that_is_not_allowed_gets_nothing(tmp_path: Path, sqlite_template: Path) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with (
        page_server() as origin,
        opened_page(origin) as page,
        serving(tmp_path / "data", MAIL_BACKEND="file") as portico,
        portico.client() as http,
    ):
        ada = await account(http)
        code = await page.evaluate(
            "([url, token]) => new Promise((done) => {"
            "  const socket = new WebSocket(url, ['bearer', token]);"
            "  socket.onopen = () => done(0); socket.onclose = ({code}) => done(code); })",
            [f"ws://127.0.0.1:{portico.port}/ws/protected", ada.token],
        )
    assert code == 1006
