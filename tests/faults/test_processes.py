"""Servers that are told to stop, killed, multiplied and cut off."""

import asyncio
from pathlib import Path

import httpx2

from tests.faults.processes import Process, command, register, serving
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer
from tests.running_app import PASSWORD, bearer, eventually

ADA = {"email": "ada@example.org", "password": PASSWORD}


async def registering(portico: Process, name: str, acknowledged: list[str]) -> None:
    """Register one account after the other until the server is gone."""
    async with portico.client() as client:
        for number in range(1000):
            address = f"{name}-{number}@example.org"
            try:
                response = await register(client, address)
            except httpx2.TransportError:
                return
            assert response.status_code == 201
            acknowledged.append(address)


async def test_being_told_to_stop_under_load_loses_nothing_that_was_acknowledged(
    database: dict[str, str], tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    settings = {**database, "MAIL_BACKEND": "file"}
    async with serving(tmp_path / "data", **settings) as portico:
        clients = [asyncio.create_task(registering(portico, f"c{n}", acknowledged)) for n in range(8)]
        await eventually(lambda: len(acknowledged) >= 40, deadline=20)
        portico.terminate()
        status = await portico.exit_status()
        await asyncio.gather(*clients)
        errors = portico.errors.read_text()

    assert status == 0
    assert "Traceback" not in errors
    async with serving(tmp_path / "data", **settings) as portico, portico.client() as client:
        for address in acknowledged:
            assert (await client.post("/auth/login", json={**ADA, "email": address})).status_code == 200


async def test_50_writers_at_once_all_get_through(database: dict[str, str], tmp_path: Path) -> None:
    async with serving(tmp_path / "data", **database) as portico, portico.client() as client:
        responses = await asyncio.gather(*(register(client, f"u{n}@example.org") for n in range(50)))
        errors = portico.errors.read_text()

    assert [response.status_code for response in responses] == [201] * 50
    assert "locked" not in errors


async def test_refreshing_and_changing_the_password_at_once_block_nobody(
    database: dict[str, str], tmp_path: Path
) -> None:
    async with serving(tmp_path / "data", **database) as portico, portico.client() as client:
        await client.post("/users/", json=ADA)
        for _ in range(10):
            pair = (await client.post("/auth/login", json=ADA)).json()
            change = {"current_password": PASSWORD, "new_password": PASSWORD}
            responses = await asyncio.gather(
                *(client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]}) for _ in range(4)),
                client.post("/auth/password/change", json=change, headers=bearer(pair)),
            )
            assert {response.status_code for response in responses} <= {200, 401}


async def test_several_processes_of_one_server_share_sessions_and_metrics(
    migrated_postgres_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": migrated_postgres_url, "MAIL_BACKEND": "file"}
    async with serving(tmp_path / "data", "--workers", "2", **settings) as portico:
        async with portico.client() as client:
            await client.post("/users/", json=ADA)
            pair = (await client.post("/auth/login", json=ADA)).json()
        for _ in range(20):
            async with portico.client() as client:  # a new connection may reach the other process
                assert (await client.get("/users/me", headers=bearer(pair))).status_code == 200
        async with portico.client() as client:
            assert (await client.post("/auth/logout", headers=bearer(pair))).status_code == 204
        for _ in range(20):
            async with portico.client() as client:
                assert (await client.get("/users/me", headers=bearer(pair))).status_code == 401
        async with portico.client() as client:
            metrics = (await client.get(f"http://127.0.0.1:{portico.port}/metrics")).text
        portico.terminate()
        status = await portico.exit_status()

    assert 'portico_http_requests_total{method="GET",route="/api/v1/users/me",status="200"} 20.0' in metrics
    assert status == 0


async def test_a_database_that_crashes_is_waited_for(own_postgres: PostgresServer, tmp_path: Path) -> None:
    await asyncio.to_thread(own_postgres.create_database, "portico")
    settings = {"DATABASE_URL": own_postgres.url("portico"), "MAIL_BACKEND": "file", "AUTO_MIGRATE": "true"}
    async with serving(tmp_path / "data", **settings) as portico, portico.client() as client:
        before = await client.post("/users/", json=ADA)
        await asyncio.to_thread(own_postgres.stop_immediately)
        meanwhile = await client.post("/auth/login", json=ADA)
        ready = await client.get(f"http://127.0.0.1:{portico.port}/health/ready")
        await asyncio.to_thread(own_postgres.start)
        async with asyncio.timeout(10):
            while (after := await client.post("/auth/login", json=ADA)).status_code != 200:
                assert after.status_code == 503
        errors = portico.errors.read_text()

    assert before.status_code == 201
    assert (meanwhile.status_code, meanwhile.json()["code"]) == (503, "unavailable")
    assert int(meanwhile.headers["Retry-After"]) > 0
    assert ready.status_code == 503
    assert "Traceback" not in errors


async def test_limits_are_shared_through_redis_and_outlive_it(database: dict[str, str], tmp_path: Path) -> None:
    with RedisServer() as redis:
        settings = {**database, "REDIS_URL": redis.url, "RATE_LIMITS_ENABLED": "true"}
        data = tmp_path / "data"
        async with (
            serving(data, **settings) as one,
            serving(data, **settings) as two,
            one.client() as client,
            two.client() as other,
        ):
            await client.post("/users/", json=ADA)
            wrong = {**ADA, "password": "Wrong-Horse-42"}
            failures = [(await c.post("/auth/login", json=wrong)).status_code for c in (client, other) * 5]
            shared = [(await c.post("/auth/login", json=ADA)).status_code for c in (client, other)]
            redis.kill()
            alone = [(await client.post("/auth/login", json=wrong)).status_code for _ in range(12)]
            ready = await client.get(f"http://127.0.0.1:{one.port}/health/ready")

    assert failures == [401] * 10
    assert shared == [429, 429]
    assert set(alone[-2:]) == {429}
    assert ready.json()["checks"]["redis"] == "Redis does not answer at REDIS_URL"


async def test_a_superuser_is_made_and_wrong_settings_are_told_line_by_line(
    database: dict[str, str], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    create = ("create-superuser", "--email", "root@example.org", "--password-stdin")

    made = await command(data, *create, stdin=f"{PASSWORD}\n", **database)
    weak = await command(data, *create, stdin="weak\n", **database)
    wrong = await command(data, "check", **{**database, "SECRET_KEY": "short", "MAIL_BACKEND": "pigeon", "PORT": "x"})
    alone = await command(data, "serve", "--workers", "2", LOG_FORMAT="json")

    assert made[:2] == (0, "root@example.org is a superuser.\n")
    assert weak[0] == 1
    assert "8 to 100 characters" in weak[2]
    assert wrong[0] == 2
    assert sorted(line.partition(":")[0] for line in wrong[2].splitlines()) == ["MAIL_BACKEND", "PORT", "SECRET_KEY"]
    assert "short" not in wrong[2]
    assert alone[0] == 2
