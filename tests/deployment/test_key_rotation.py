"""New keys while people are signed in, hold links and turn pages: what they notice of it, on each database."""

from itertools import pairwise
from pathlib import Path
from typing import Final

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.faults.processes import register, serving, sign_in
from tests.running_app import PASSWORD, Mailbox, bearer

ADA, BOB = "ada@example.org", "bob@example.org"
OLD, NEW = "o" * 32, "n" * 32
ROUNDS: Final = (
    {"SECRET_KEY": OLD},
    {"SECRET_KEY": OLD, "SECRET_KEY_PREVIOUS": f'["{NEW}"]'},
    {"SECRET_KEY": NEW, "SECRET_KEY_PREVIOUS": f'["{OLD}"]'},
    {"SECRET_KEY": NEW},
)
"""What a server has before the rotation and after each of its three rounds, as the README says."""


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


async def given_out(client: httpx2.AsyncClient) -> tuple[dict[str, str], str, str]:
    """The header that signs Ada in, the cursor to her next page, and the address of a link to a new file of hers."""
    pair = bearer((await sign_in(client, ADA)).json())
    page = (await client.get("/items/", params={"limit": 1}, headers=pair)).json()
    file = (await client.post("/files/upload", files={"file": ("a.txt", b"Earl Grey")}, headers=pair)).json()
    link = (await client.post(f"/files/{file['id']}/link", json={"expires_in": 60}, headers=pair)).json()
    return pair, page["next_cursor"], httpx2.URL(link["url"]).raw_path.decode().removeprefix("/api/v1")


@pytest.mark.parametrize("round_", [1, 2, 3])
async def test_while_one_server_is_a_round_ahead_what_each_gives_out_holds_at_the_other(
    database: dict[str, str], data: Path, round_: int
) -> None:
    behind, ahead = list(pairwise(ROUNDS))[round_ - 1]
    settings = {**database, "MAIL_BACKEND": "file"}
    async with (
        serving(data, **settings, **behind) as first,
        serving(data, **settings, **ahead) as second,
        first.client() as one,
        second.client() as other,
    ):
        await register(one, ADA)
        headers = bearer((await sign_in(one, ADA)).json())
        for title in ("Milk", "Tea"):
            await one.post("/items/", json={"title": title}, headers=headers)
        for giving, taking in ((one, other), (other, one)):
            pair, cursor, link = await given_out(giving)
            assert (await taking.get("/items/", params={"cursor": cursor}, headers=pair)).status_code == 200
            assert (await taking.get(link)).text == "Earl Grey"


async def test_a_new_private_key_has_clients_refresh_once_and_nothing_else_dies(
    database: dict[str, str], data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    settings = {**database, "MAIL_BACKEND": "file", "ALGORITHM": "ES256", "JWT_PRIVATE_KEY_FILE": str(file)}
    published = []

    def new_key() -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    new_key()
    async with serving(data, **settings) as portico, portico.client() as client:
        await register(client, ADA)
        tokens = (await sign_in(client, ADA)).json()
        for title in ("Milk", "Tea"):
            await client.post("/items/", json={"title": title}, headers=bearer(tokens))
        pair, cursor, link = await given_out(client)
        published.append((await client.get(f"{portico.root}/.well-known/jwks.json")).json())
    new_key()
    async with serving(data, **settings) as portico, portico.client() as client:
        assert (await client.get("/users/me", headers=pair)).status_code == 401
        refreshed = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        again = bearer(refreshed.json())
        assert (await client.get("/items/", params={"cursor": cursor}, headers=again)).status_code == 200
        assert (await client.get(link)).text == "Earl Grey"
        published.append((await client.get(f"{portico.root}/.well-known/jwks.json")).json())

    assert [len(keys["keys"]) for keys in published] == [1, 1]
    assert published[0] != published[1]
