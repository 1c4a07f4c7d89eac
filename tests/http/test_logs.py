"""What the logs of a real server say, and what they never say.

One deployment will do: what is logged of a request comes before and after all parts. Of the databases, each refuses a
row once.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.faults.processes import Process, register, serving, sign_in
from tests.running_app import PASSWORD, Mailbox, bearer, eventually

ADA = "ada@example.org"
FIELDS = {"method", "path", "route", "status", "duration_ms", "client", "request_id", "user_id"}
WRONG_PASSWORD = "Wrong-Horse-4711"
SECRET_VALUE = "value-that-is-nobodys-business"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def lines(portico: Process, event: str) -> list[dict[str, Any]]:
    """The log's lines of this event."""
    parsed: Iterator[dict[str, Any]] = (json.loads(line) for line in portico.errors.splitlines())
    return [line for line in parsed if line["event"] == event]


async def walk(client: httpx2.AsyncClient, mailbox: Mailbox) -> list[str]:
    """Use whatever has a secret in it. The secrets."""
    await register(client, ADA)
    pair = (await sign_in(client, ADA)).json()
    await sign_in(client, ADA, WRONG_PASSWORD)
    form = {"username": ADA, "password": WRONG_PASSWORD}
    await client.post(f"/auth/login?password={SECRET_VALUE}", data=form)
    await client.get(f"/users/?q={SECRET_VALUE}", headers=bearer(pair))
    await client.get("/users/me", headers={"Authorization": f"Bearer {SECRET_VALUE}", "Cookie": SECRET_VALUE})
    await client.post("/users/", json={"email": SECRET_VALUE, "password": WRONG_PASSWORD, "full_name": 7})
    await client.post("/users/", content=f'{{"password": "{WRONG_PASSWORD}"')
    await client.post("/auth/password/forgot", json={"email": ADA})
    token = await mailbox.token(ADA, page="/reset-password")
    root = str(client.base_url).partition("/api")[0]
    await client.get(f"{root}/reset-password?token={token}")
    await client.post("/auth/password/reset", json={"token": token, "new_password": "weak"})
    refreshed = (await client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})).json()
    tokens = [one[kind] for one in (pair, refreshed) for kind in ("access_token", "refresh_token")]
    return [PASSWORD, WRONG_PASSWORD, SECRET_VALUE, token, *tokens]


@pytest.mark.parametrize("style", ["json", "console"])
async def test_no_password_token_hash_or_query_is_ever_logged(data: Path, style: str) -> None:
    async with serving(data, MAIL_BACKEND="file", LOG_FORMAT=style, LOG_LEVEL="DEBUG") as portico:
        async with portico.client() as client:
            secrets = await walk(client, Mailbox(data / "mail"))
            with closing(sqlite3.connect(data / "portico.db")) as database:
                database.execute("CREATE TRIGGER broken BEFORE INSERT ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END")
                secrets += [digest for (digest,) in database.execute("SELECT password_hash FROM users")]
            failed = await sign_in(client, ADA)
        await eventually(lambda: "IntegrityError" in portico.errors)
        log = re.sub(r"\x1b\[\d*(;\d+)*m", "", portico.errors)

    assert failed.status_code == 500
    assert failed.json()["code"] == "internal_error"
    assert "Traceback" in log
    assert failed.headers["X-Request-ID"] in log
    for path in ("/api/v1/auth/login", "/api/v1/users/", "/reset-password"):
        assert path in log
    for secret in secrets:
        assert secret not in log
    assert "token=" not in log
    assert "$2b$" not in log


async def test_a_row_that_postgresql_refuses_is_not_shown(migrated_postgres_url: str, data: Path) -> None:
    async with serving(data, MAIL_BACKEND="file", DATABASE_URL=migrated_postgres_url) as portico:
        connection = await asyncpg.connect(migrated_postgres_url)
        await connection.execute("ALTER TABLE users ADD CONSTRAINT broken CHECK (false) NOT VALID")
        await connection.close()
        async with portico.client() as client:
            failed = await register(client, ADA)
        (line,) = await eventually(lambda: lines(portico, "request failed"))

    assert failed.status_code == 500
    assert "CheckViolationError" in line["exception"]
    assert line["request_id"] == failed.headers["X-Request-ID"]
    for secret in (PASSWORD, "$2b$", ADA, "Failing row"):
        assert secret not in portico.errors


async def test_each_request_has_one_line_that_says_who_what_and_how_long(data: Path) -> None:
    async with serving(data, MAIL_BACKEND="file") as portico, portico.client() as client:
        user = (await register(client, ADA)).json()
        pair = (await sign_in(client, ADA)).json()
        answers = [
            await client.get("/users/me?secret=1", headers=bearer(pair) | {"X-Request-ID": "mine-1"}),
            await client.get(f"/users/{user['id']}", headers={"X-Request-ID": "two\twords"}),
            await client.get("/nothing"),
            await client.get("/users", headers=bearer(pair)),
            await client.post("/users/", json={}),
            await client.put("/users/me"),
        ]
        ids = [answer.headers["X-Request-ID"] for answer in answers]
        found = await eventually(
            lambda: found if len(found := [x for x in lines(portico, "request") if x["request_id"] in ids]) == 6 else []
        )

    assert [line["request_id"] for line in found] == ids
    assert all(line.keys() >= FIELDS and line["client"] == "127.0.0.1" for line in found)
    assert all(line["duration_ms"] > 0 for line in found)
    assert ids[0] == "mine-1"
    assert re.fullmatch("[0-9a-f]{32}", ids[1])
    me, users, one = "/api/v1/users/me", "/api/v1/users/", f"/api/v1/users/{user['id']}"
    assert [(line["method"], line["path"], line["route"], line["status"], line["user_id"]) for line in found] == [
        ("GET", me, me, 200, user["id"]),
        ("GET", one, "/api/v1/users/{user_id}", 401, None),
        ("GET", "/api/v1/nothing", "unmatched", 404, None),
        ("GET", "/api/v1/users", users, 403, user["id"]),
        ("POST", users, users, 422, None),
        ("PUT", me, me, 405, None),
    ]


async def test_the_jobs_that_a_request_causes_carry_its_id(data: Path) -> None:
    async with serving(data, MAIL_BACKEND="file") as portico:
        async with portico.client() as client:
            body = {"email": ADA, "password": PASSWORD}
            await client.post("/users/", json=body, headers={"X-Request-ID": "registration-7"})
        (line,) = await eventually(lambda: [x for x in lines(portico, "job done") if x["kind"] == "mail_verification"])

    assert line["request_id"] == "registration-7"


async def test_nothing_in_a_path_can_forge_a_line(data: Path) -> None:
    async with serving(data, MAIL_BACKEND="file", LOG_FORMAT="console") as portico, portico.client() as client:
        await client.get("/a%0A2026-11-24T00:00:00Z%20[info]%20forged%1B[2J")
        await client.get("/%1B[2J%C2%9B31m")
        await client.get("/last")
        log = await eventually(lambda: log if "/last" in (log := portico.errors) else "")

    assert not [line for line in log.splitlines() if line.startswith("2026-11-24T00:00:00Z [info] forged")]
    assert "\x1b[2J" not in log
    assert "\x9b" not in log
    assert r"/\x1b[2J\x9b31m" in log
    assert "forged" in log
