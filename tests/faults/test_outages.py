"""A database or a Redis that dies under traffic, and comes back."""

import asyncio
import json
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from tests.faults.processes import Process, comes_true, readiness, register, serving, serving_patiently, sign_in
from tests.live import account, connected, greeted
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer
from tests.running_app import Mailbox, bearer, eventually

ADA = "ada@example.org"
GRACE = "grace@example.org"
WRONG = "Wrong-Horse-42"
RECOVERY_SECONDS = 180


async def registering(
    portico: Process, name: str, answers: list[tuple[str, httpx2.Response]], stop: asyncio.Event
) -> None:
    async with portico.client() as client:
        number = 0
        while not stop.is_set():
            number += 1
            address = f"{name}-{number}@example.org"
            answers.append((address, await register(client, address)))


async def is_ready(portico: Process) -> bool:
    return (await readiness(portico))[0] == 200


async def test_a_database_that_crashes_under_traffic_is_waited_for(own_postgres: PostgresServer, data: Path) -> None:
    await asyncio.to_thread(own_postgres.create_database, "portico")
    settings = {"DATABASE_URL": own_postgres.url("portico"), "MAIL_BACKEND": "file", "AUTO_MIGRATE": "true"}
    answers: list[tuple[str, httpx2.Response]] = []
    stop = asyncio.Event()
    async with serving(data, **settings) as portico, portico.client() as client:
        await register(client, ADA)
        pair = (await sign_in(client, ADA)).json()
        traffic = [asyncio.create_task(registering(portico, f"client{n}", answers, stop)) for n in range(4)]
        await eventually(lambda: len(answers) >= 20)
        await asyncio.to_thread(own_postgres.stop_immediately)
        mine = await client.get("/users/me", headers=bearer(pair))
        health, parts = await readiness(portico)
        await eventually(lambda: any(answer.status_code == 503 for _, answer in answers))
        await asyncio.to_thread(own_postgres.start)
        await comes_true(lambda: is_ready(portico), RECOVERY_SECONDS)
        seen = len(answers)
        await eventually(lambda: any(answer.status_code == 201 for _, answer in answers[seen:]), RECOVERY_SECONDS)
        stop.set()
        await asyncio.gather(*traffic)
        acknowledged = [address for address, answer in answers if answer.status_code == 201]
        kept = [(await sign_in(client, address)).status_code for address in acknowledged]
        mailbox = Mailbox(data / "mail")
        await eventually(lambda: set(acknowledged) <= {str(mail["To"]) for mail in mailbox.mails()}, RECOVERY_SECONDS)
        again = await client.get("/users/me", headers=bearer(pair))

    refused = [answer for _, answer in answers if answer.status_code != 201]
    for answer in [mine, *refused]:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    assert (health, parts["storage"]) == (503, "ok")
    assert parts["database"] != "ok"
    assert kept == [200] * len(acknowledged)
    assert again.status_code == 200
    assert "Traceback" not in portico.errors


async def test_while_the_database_is_away_websockets_stay_and_those_who_come_are_asked_to_come_later(
    own_postgres: PostgresServer, data: Path
) -> None:
    await asyncio.to_thread(own_postgres.create_database, "portico")
    settings = {"DATABASE_URL": own_postgres.url("portico"), "MAIL_BACKEND": "file", "AUTO_MIGRATE": "true"}
    async with serving(data, **settings) as portico, portico.client() as http:
        ada = await account(http)
        async with greeted(portico, ada) as client:
            await client.subscribe("items")
            await asyncio.to_thread(own_postgres.stop_immediately)
            with pytest.raises(InvalidStatus) as refused:
                async with connected(portico, token=ada.token):
                    pass
            await client.send("subscribe", channel="files")
            assert (await client.next())["code"] == "unavailable"
            await asyncio.to_thread(own_postgres.start)
            await comes_true(lambda: is_ready(portico), RECOVERY_SECONDS)
            await client.subscribe("files")
            item = await ada.create(http)
            assert (await client.next())["data"] == item

    answer = refused.value.response
    assert (answer.status_code, json.loads(answer.body or b"")["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "Traceback" not in portico.errors


async def guesses(client: httpx2.AsyncClient, address: str, times: int) -> list[int]:
    return [(await sign_in(client, address, WRONG)).status_code for _ in range(times)]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_limits_are_shared_through_redis_and_hold_while_it_is_away(
    own_redis: RedisServer, database: dict[str, str], data: Path
) -> None:
    settings = {**database, "MAIL_BACKEND": "file", "REDIS_URL": own_redis.url, "RATE_LIMITS_ENABLED": "true"}
    async with (
        serving_patiently(data, **settings) as one,
        serving_patiently(data, **settings) as two,
        one.client() as here,
        two.client() as there,
    ):
        for address in (ADA, GRACE):
            await register(here, address)
        counted = await guesses(here, ADA, 5) + await guesses(there, ADA, 5)
        shared = [await sign_in(client, ADA) for client in (here, there)]

        own_redis.kill()
        away = await guesses(here, GRACE, 12)
        let_in = await sign_in(there, GRACE)
        health, parts = await readiness(one)

        own_redis.start()
        await comes_true(lambda: is_ready(one), RECOVERY_SECONDS)

    assert counted == [401] * 10
    assert [answer.status_code for answer in shared] == [429, 429]
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in shared)
    assert away == [401] * 10 + [429] * 2
    assert let_in.status_code == 200
    assert (health, parts["redis"], parts["database"]) == (503, "Redis does not answer at REDIS_URL", "ok")
