"""Those who send too much, or what is no WebSocket, or don't read: each is closed with a reason, and alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.deployments import LAPTOP, Deployment, on
from tests.faults.processes import Process, comes_to, serving
from tests.live import PROTECTED, SECONDS, Account, Client, connected, greeted
from tests.running_app import eventually

LOBBY = "/ws/1"
KITCHEN = "room:kitchen"


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do, but for what is also told to other processes: all else ends with the connection."""
    return LAPTOP


@pytest.fixture
async def portico(tmp_path: Path, deployment_environment: dict[str, str]) -> AsyncIterator[Process]:
    async with serving(tmp_path / "data", **deployment_environment) as process:
        yield process
    assert "Traceback" not in process.errors


async def test_a_message_over_64_kib_ends_the_connection(portico: Process, ada: Account) -> None:
    for path in (PROTECTED, LOBBY):
        for size in (65_537, 3_000_000):
            async with connected(portico, path, token=ada.token) as client:
                with suppress(ConnectionClosed):  # which may come while it is still being sent
                    await client.socket.send("x" * size)
                assert await client.ends() == 1009
        async with connected(portico, path, token=ada.token) as client:
            with suppress(ConnectionClosed):
                await client.socket.send(["x" * 40_000, "x" * 40_000])
            assert await client.ends() == 1009
    async with connected(portico, LOBBY, token=ada.token) as client:
        await client.socket.send("x" * 65_536)
        assert len(await client.text()) == 65_536 + len("Client 1: ")


async def test_text_that_is_no_utf_8_ends_the_connection(portico: Process, ada: Account) -> None:
    for path in (PROTECTED, LOBBY):
        async with connected(portico, path, token=ada.token) as client:
            await client.socket.send(b"\xff\xfe", text=True)
            assert await client.ends() == 1007


async def test_a_message_in_too_many_pieces_ends_the_connection(portico: Process, ada: Account) -> None:
    begin, go_on = b"\x01\x81maskx", b"\x00\x81maskx"
    for path in (PROTECTED, LOBBY):
        async with connected(portico, path, token=ada.token) as client:
            client.socket.transport.write(begin + go_on * 30_000)
            assert await client.ends() == 1008


async def test_what_comes_along_with_text_that_is_no_utf_8_changes_nothing(portico: Process, ada: Account) -> None:
    no_utf_8, ping, close = b"\x81\x81mask\x92", b"\x89\x80mask", b"\x88\x82mask" + b"\x6e\x89"
    for path in (PROTECTED, LOBBY):
        async with connected(portico, path, token=ada.token) as client:
            client.socket.transport.write(no_utf_8 + no_utf_8 + ping)
            assert await client.ends() == 1007
        async with connected(portico, path, token=ada.token) as client:
            client.socket.transport.write(no_utf_8 + no_utf_8 + close)
            assert await client.ends() == 1000


async def code_after(client: Client, count: int) -> int:
    """What so many messages at once are ended with, said again in case the server took more than a second for them."""
    async with asyncio.timeout(SECONDS):
        try:
            while True:
                client.socket.transport.write(b"\x81\x81mask\x15" * count)
                for _ in range(count):
                    await client.socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


async def test_more_than_50_messages_in_a_second_end_the_connection(portico: Process, ada: Account) -> None:
    async with connected(portico, LOBBY, token=ada.token) as client:
        for number in range(50):
            await client.socket.send(str(number))
        for number in range(50):
            assert await client.text() == f"Client 1: {number}"
    for path in (PROTECTED, LOBBY):
        async with connected(portico, path, token=ada.token) as client:
            assert await code_after(client, 51) == 1008


@on(storage="disk")  # which has each way that processes hear each other by
async def test_one_who_does_not_read_is_closed_and_slows_nobody_down(portico: Process, ada: Account) -> None:
    senders = 8
    async with AsyncExitStack() as stack, greeted(portico, ada, max_queue=None) as deaf:
        await deaf.subscribe(KITCHEN)
        deaf.socket.transport.pause_reading()
        others = [await stack.enter_async_context(greeted(portico, ada, max_queue=None)) for _ in range(senders)]
        for other in others:
            await other.subscribe(KITCHEN)
        heard_own = [asyncio.Semaphore() for _ in range(senders)]

        async def say_much(number: int) -> None:
            for n in range(220):
                await heard_own[number].acquire()  # or a server that was held up would have them all at once
                await others[number].send("publish", channel=KITCHEN, data=[number, n, "x" * 8000])
                await asyncio.sleep(0.05)

        async def hear_all(number: int) -> list[int]:
            heard = []
            for _ in range(220 * senders):
                sender, n, _ = (await others[number].next())["data"]
                if sender == 0:
                    heard.append(n)
                if sender == number:
                    heard_own[number].release()
            return heard

        results = await asyncio.gather(
            *(hear_all(number) for number in range(senders)), *(say_much(number) for number in range(senders))
        )
        assert results[:senders] == [list(range(220))] * senders
        await comes_to(portico, "portico_websocket_connections", senders)
        await eventually(lambda: '"code": 1013' in portico.errors)


async def test_pings_without_end_from_one_who_does_not_read_end_the_connection(portico: Process, ada: Account) -> None:
    async with greeted(portico, ada) as client:
        client.socket.transport.pause_reading()
        with pytest.raises((ConnectionError, RuntimeError, asyncio.IncompleteReadError)):
            frame = b"\x89\xfd" + b"mask" + b"x" * 125
            while True:
                client.socket.transport.write(frame * 1000)
                await asyncio.sleep(0)
                if client.socket.transport.is_closing():
                    raise ConnectionError
                async with asyncio.timeout(60):
                    while client.socket.transport.get_write_buffer_size() > 1_000_000:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
        await comes_to(portico, "portico_websocket_connections", 0)


async def test_a_client_of_an_unknown_tongue_is_closed(portico: Process, ada: Account) -> None:
    async with greeted(portico, ada) as client:
        client.socket.transport.write(b"\x83\x80mask")  # a frame of no kind that there is
        assert await client.ends() == 1002
    async with greeted(portico, ada) as client:
        client.socket.transport.write(b"\x81\x02{}")  # without a mask
        assert await client.ends() == 1002
    async with greeted(portico, ada) as client:
        await client.socket.send(json.dumps({"action": "fly"}))
        assert (await client.next())["code"] == "unknown_action"
