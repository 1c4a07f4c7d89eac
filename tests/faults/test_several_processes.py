"""Several processes are one service."""

import os
import signal
from pathlib import Path

import pytest

from tests.faults.processes import (
    HAS_PROC,
    Process,
    comes_to,
    command,
    register,
    serving,
    serving_patiently,
    sign_in,
)
from tests.live import account, greeted
from tests.running_app import bearer, eventually

ADA = "ada@example.org"
OPEN = "portico_websocket_connections"
MINE = 'portico_http_requests_total{method="GET",route="/api/v1/users/me",status="%s"}'


async def both_serving(portico: Process) -> list[int]:
    """The ids of its two processes, once both take requests: one that is paused before that would be replaced."""
    await eventually(lambda: portico.errors.count("Application startup complete") == 2)
    return portico.serving_processes()


async def test_a_revoked_session_is_dead_on_the_next_request_in_every_process(
    migrated_postgres_url: str, data: Path
) -> None:
    settings = {"DATABASE_URL": migrated_postgres_url, "MAIL_BACKEND": "file"}
    async with (
        serving(data, **settings) as one,
        serving(data, **settings) as two,
        one.client() as here,
        two.client() as there,
    ):
        await register(here, ADA)
        pair, other = [(await sign_in(here, ADA)).json() for _ in range(2)]
        before = [(await client.get("/users/me", headers=bearer(pair))).status_code for client in (here, there)]
        await here.post("/auth/logout", headers=bearer(pair))
        after = [(await client.get("/users/me", headers=bearer(pair))).status_code for client in (there, here)]
        untouched = await there.get("/users/me", headers=bearer(other))

    assert before == [200, 200]
    assert after == [401, 401]
    assert untouched.status_code == 200


@pytest.mark.skipif(not HAS_PROC, reason="needs /proc to tell the processes of one server apart")
async def test_the_processes_of_one_server_all_serve_and_give_their_figures_together(
    migrated_postgres_url: str, data: Path
) -> None:
    settings = {"DATABASE_URL": migrated_postgres_url, "MAIL_BACKEND": "file"}
    async with serving_patiently(data, "--workers", "2", **settings) as portico:
        one, two = await both_serving(portico)
        async with portico.client() as client:
            await register(client, ADA)
            pair = (await sign_in(client, ADA)).json()
        for number, paused in enumerate((one, two)):
            with portico.paused(paused):  # so it is the other one that answers
                async with portico.client() as client:
                    answers = [await client.get("/users/me", headers=bearer(pair)) for _ in range(3)]
                    if number == 1:
                        await client.post("/auth/logout", headers=bearer(pair))
            assert [answer.status_code for answer in answers] == [200] * 3
        with portico.paused(two):
            async with portico.client() as client:
                revoked = await client.get("/users/me", headers=bearer(pair))
        await comes_to(portico, MINE % 200, 6)
        await comes_to(portico, MINE % 401, 1)
        portico.terminate()
        status = await portico.exit_status()

    assert revoked.status_code == 401
    assert status == 0
    assert "Traceback" not in portico.errors


@pytest.mark.skipif(not HAS_PROC, reason="needs /proc to tell the processes of one server apart")
async def test_what_a_process_that_crashed_had_open_is_no_longer_counted(
    migrated_postgres_url: str, data: Path
) -> None:
    settings = {"DATABASE_URL": migrated_postgres_url, "MAIL_BACKEND": "file"}
    async with serving(data, "--workers", "2", **settings) as portico:
        one, two = await both_serving(portico)
        async with portico.client() as client:
            ada = await account(client)
        with portico.paused(two):  # so it is the other one that they are connected to
            async with greeted(portico, ada), greeted(portico, ada):
                await comes_to(portico, OPEN, 2)
                os.kill(one, signal.SIGKILL)
        await comes_to(portico, OPEN, 0)


async def test_several_processes_on_sqlite_are_refused_without_redis(data: Path) -> None:
    status, output, errors = await command(data, "serve", "--workers", "2")

    assert (status, output) == (2, "")
    assert len(errors.splitlines()) == 1
    assert "REDIS_URL" in errors
