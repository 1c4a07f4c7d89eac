"""A new SECRET_KEY while people are signed in, hold links and turn pages: nobody notices, on each database."""

from pathlib import Path

import pytest

from tests.faults.processes import register, serving, sign_in
from tests.running_app import PASSWORD, Mailbox, bearer

ADA, BOB = "ada@example.org", "bob@example.org"
OLD, NEW = "o" * 32, "n" * 32


@pytest.mark.parametrize("kept", [True, False], ids=["with the old key kept", "without it"])
async def test_what_was_given_out_under_the_old_key(database: dict[str, str], data: Path, kept: bool) -> None:
    settings = {**database, "MAIL_BACKEND": "file"}
    mailbox = Mailbox(data / "mail")
    async with serving(data, **settings, SECRET_KEY=OLD) as portico, portico.client() as client:
        await register(client, ADA)
        await register(client, BOB)
        pair = (await sign_in(client, ADA)).json()
        for title in ("Milk", "Tea"):
            await client.post("/items/", json={"title": title}, headers=bearer(pair))
        page = (await client.get("/items/", params={"limit": 1}, headers=bearer(pair))).json()
        verification = await mailbox.token(ADA)
        assert (await client.post("/auth/password/forgot", json={"email": BOB})).status_code == 202
        reset = await mailbox.token(BOB, page="/reset-password")

    previous = f'["{OLD}"]' if kept else "[]"
    async with (
        serving(data, **settings, SECRET_KEY=NEW, SECRET_KEY_PREVIOUS=previous) as portico,
        portico.client() as client,
    ):
        # Mailed links and refresh tokens are stored as hashes that no key goes into: they hold either way.
        assert (await client.post("/auth/verify-email", json={"token": verification})).status_code == 200
        new_password = {"token": reset, "new_password": PASSWORD + "!"}
        assert (await client.post("/auth/password/reset", json=new_password)).status_code == 200
        assert (await sign_in(client, BOB, PASSWORD + "!")).status_code == 200
        with_old_token = await client.get("/users/me", headers=bearer(pair))
        refreshed = await client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
        assert refreshed.status_code == 200
        cursor = {"cursor": page["next_cursor"], "limit": 1}
        next_page = await client.get("/items/", params=cursor, headers=bearer(refreshed.json()))

    assert with_old_token.status_code == (200 if kept else 401)
    assert next_page.status_code == (200 if kept else 422)
    if kept:
        assert [item["title"] for item in next_page.json()["items"]] == ["Milk"]
