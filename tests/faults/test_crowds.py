"""Many at once, through a real server: nobody is turned away and nobody waits for ever."""

import asyncio
from pathlib import Path

from tests.faults.processes import register, serving_patiently, sign_in
from tests.running_app import PASSWORD, bearer

ADA = "ada@example.org"
OTHER_PASSWORD = "Battery-Staple-43"


async def test_50_writers_at_once_all_get_through(database: dict[str, str], data: Path) -> None:
    async with serving_patiently(data, **database, MAIL_BACKEND="file") as portico, portico.client() as client:
        answers = await asyncio.gather(*(register(client, f"user{number}@example.org") for number in range(50)))

    assert [answer.status_code for answer in answers] == [201] * 50
    assert "locked" not in portico.errors
    assert "can't be used" not in portico.errors


async def test_refreshing_while_the_password_changes_blocks_nobody(database: dict[str, str], data: Path) -> None:
    async with serving_patiently(data, **database, MAIL_BACKEND="file") as portico, portico.client() as client:
        await register(client, ADA)
        for old, new in [(PASSWORD, OTHER_PASSWORD), (OTHER_PASSWORD, PASSWORD)] * 5:
            pairs = [(await sign_in(client, ADA, old)).json() for _ in range(4)]
            change = {"current_password": old, "new_password": new}
            changed, *refreshed = await asyncio.gather(
                client.post("/auth/password/change", json=change, headers=bearer(pairs[0])),
                # The first of them once: spent again, it must be so within 10 s, or that session is revoked.
                *(client.post("/auth/refresh", json={"refresh_token": p["refresh_token"]}) for p in pairs + pairs[1:]),
            )
            mine = (await client.get("/users/me", headers=bearer(pairs[0]))).status_code
            others = {(await client.get("/users/me", headers=bearer(pair))).status_code for pair in pairs[1:]}

            assert changed.status_code == 200
            assert {answer.status_code for answer in refreshed} <= {200, 401}
            assert refreshed[0].status_code == 200
            assert (mine, others) == (200, {401})

    assert "can't be used" not in portico.errors
    assert "Traceback" not in portico.errors
