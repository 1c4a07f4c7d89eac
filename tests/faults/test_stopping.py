"""Being told to stop, and clients that go away: nothing that was acknowledged is lost, nothing is half-done."""

import asyncio
import json
import signal
from pathlib import Path

import httpx2
import pytest

from tests.faults.processes import (
    CERTAIN_SECONDS,
    START_SECONDS,
    Process,
    comes_true,
    command,
    figure,
    mail_through,
    register,
    serving,
    serving_patiently,
    sign_in,
    starting,
    working,
)
from tests.mail_server import smtp_server
from tests.running_app import PASSWORD, Mailbox, eventually, run_app, settings_for

ADA = "ada@example.org"
CLIENTS = 8


async def registering(portico: Process, name: str, acknowledged: list[str], unexpected: list[int]) -> None:
    """Register one account after the other until the server is gone."""
    async with portico.client() as client:
        number = 0
        while True:
            number += 1
            address = f"{name}-{number}@example.org"
            try:
                response = await register(client, address)
            except httpx2.TransportError:
                return
            if response.status_code == 201:
                acknowledged.append(address)
            else:
                unexpected.append(response.status_code)


async def test_being_told_to_stop_under_load_loses_nothing_that_was_acknowledged(
    database: dict[str, str], data: Path
) -> None:
    acknowledged: list[str] = []
    unexpected: list[int] = []
    settings = {**database, "MAIL_BACKEND": "file"}
    async with serving(data, **settings) as portico:
        clients = [
            asyncio.create_task(registering(portico, f"client{n}", acknowledged, unexpected)) for n in range(CLIENTS)
        ]
        await eventually(lambda: len(acknowledged) >= 40)
        portico.terminate()
        status = await portico.exit_status()
        await asyncio.gather(*clients)

    assert status == 0
    assert not unexpected
    assert "Traceback" not in portico.errors
    assert "Exception" not in portico.errors
    async with serving(data, **settings) as portico, portico.client() as client:
        answers = [(await sign_in(client, address)).status_code for address in acknowledged]
    assert answers == [200] * len(acknowledged)


async def test_a_worker_told_to_stop_finishes_the_job_that_it_has(database: dict[str, str], data: Path) -> None:
    """Those that take too long go back to the queue: the unit tests of the worker show it, in virtual time."""
    named = {"database_url": url} if (url := database.get("DATABASE_URL")) else {}
    async with run_app(settings_for(data, **named), with_worker=False) as app, smtp_server(tls="none") as mails:
        mails.misbehave("DATA", "hold", times=1)
        await app.register(ADA)
        async with working(data, **database, **mail_through(mails)) as worker:
            await eventually(lambda: mails.unconfirmed)
            worker.terminate()
            mails.release()
            status = await worker.exit_status()
        left = await app.container.job_queue().list_jobs(state=None, limit=10)

    assert status == 0
    assert "Traceback" not in worker.errors
    assert [mail.recipient for mail in mails.messages] == [ADA]
    assert {job.kind for job in left} <= set(app.container.schedules())


async def is_refused(portico: Process) -> bool:
    """Whether nobody can connect to it any more."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", portico.port)
    except OSError:
        return True
    writer.close()
    return False


async def test_a_server_that_stops_takes_up_no_more_jobs(database: dict[str, str], data: Path) -> None:
    """Not even that of the last request, which it still waits for."""
    settings = {**database, "MAIL_BACKEND": "file"}
    async with serving_patiently(data, **settings) as portico:
        head, body = registration(ADA)
        reader, writer = await asyncio.open_connection("127.0.0.1", portico.port)
        writer.write(head + body[:-1])
        await comes_true(lambda: is_under_way(portico), CERTAIN_SECONDS)
        portico.terminate()
        await comes_true(lambda: is_refused(portico), CERTAIN_SECONDS)
        writer.write(body[-1:])
        answer = await reader.read()
        status = await portico.exit_status()
        writer.close()
    _, jobs, _ = await command(data, "jobs", "list", **settings)

    assert answer.startswith(b"HTTP/1.1 201 ")
    assert status == 0
    assert "mail_verification" in jobs
    assert not Mailbox(data / "mail").mails()


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_can_be_told_to_stop_while_it_starts(told: signal.Signals, workers: str, data: Path) -> None:
    """Here, while it looks at a database that doesn't answer whether it must be brought up to date."""
    asking: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    silent = await asyncio.start_server(lambda _, writer: asking.put_nowait(writer), "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    settings = {"DATABASE_URL": f"postgresql://portico@{host}:{port}/portico", "AUTO_MIGRATE": "true"}
    async with silent, starting(data, "--port", "0", "--workers", workers, **settings) as portico:
        async with asyncio.timeout(START_SECONDS):
            writer = await asking.get()
        portico.process.send_signal(told)
        status = await portico.exit_status()
        writer.close()

    assert status == 0
    assert "Traceback" not in portico.errors


async def is_under_way(portico: Process) -> bool:
    """Whether a request is, beside the one that asks."""
    return await figure(portico, "portico_http_requests_in_flight") == 2


def registration(address: str) -> tuple[bytes, bytes]:
    """The head and the body of a request for an account."""
    body = json.dumps({"email": address, "password": PASSWORD}).encode()
    lines = (
        "POST /api/v1/users/ HTTP/1.1",
        "Host: portico",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode(), body


async def send(portico: Process, address: str, *, missing: int) -> None:
    """Ask for an account, but leave so many bytes out, and go away without waiting for the answer."""
    head, body = registration(address)
    _, writer = await asyncio.open_connection("127.0.0.1", portico.port)
    writer.write(head + body[: len(body) - missing])
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_goes_away_leaves_nothing_half_done(database: dict[str, str], data: Path) -> None:
    async with smtp_server(tls="none") as mails:  # noqa: SIM117 - the server below needs its port
        async with serving(data, **database, **mail_through(mails)) as portico, portico.client() as client:
            whole = [f"whole{number}@example.org" for number in range(10)]
            halves = [f"half{number}@example.org" for number in range(10)]
            await asyncio.gather(
                *(send(portico, address, missing=0) for address in whole),
                *(send(portico, address, missing=1) for address in halves),
            )
            await mails.received(10)
            assert [(await sign_in(client, address)).status_code for address in whole] == [200] * 10
            assert [(await register(client, address)).status_code for address in halves] == [201] * 10
            await mails.received(20)

    assert sorted(mail.recipient for mail in mails.messages) == sorted(whole + halves)
    assert "Traceback" not in portico.errors


async def an_answer(reader: asyncio.StreamReader) -> bytes:
    """The head of one that has some JSON."""
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"}")
    return head


async def test_who_is_connected_when_the_server_is_told_to_stop_gets_an_answer(
    database: dict[str, str], data: Path
) -> None:
    """New connections, which sent nothing yet, and one that has had an answer before."""
    ask = b"GET /health/live HTTP/1.1\r\nHost: portico\r\n\r\n"
    async with serving_patiently(data, **database) as portico:
        connections = [await asyncio.open_connection("127.0.0.1", portico.port) for _ in range(5)]
        reader, writer = connections[0]
        writer.write(ask)
        await an_answer(reader)
        portico.terminate()
        for _, writer in connections:
            writer.write(ask)
        answers = [await an_answer(reader) for reader, _ in connections]
        for _, writer in connections:
            writer.close()
        status = await portico.exit_status()

    assert status == 0
    assert [answer.split(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 5
