"""Access tokens under each algorithm, and what else one may try in their place."""

import base64
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.deployments import LAPTOP, Deployment, on
from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.running_app import RunningApp, bearer

ADA: Final = "ada@example.org"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
KEYS: Final[dict[str, Callable[[], Key]]] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do, but for whose token it is: most are refused before anything is asked."""
    return LAPTOP


def written(key: Key, path: Path) -> Path:
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def header_and_claims(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims)


def hmac_signed(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    text = f"{segment(header)}.{segment(claims)}"
    signature = base64.urlsafe_b64encode(hmac.digest(secret, text.encode(), "sha256"))
    return f"{text}.{signature.rstrip(b'=').decode()}"


@pytest.mark.parametrize("algorithm", KEYS)
async def test_others_can_verify_a_token_with_the_published_keys(
    start_app: StartApp, tmp_path: Path, algorithm: str
) -> None:
    file = written(KEYS[algorithm](), tmp_path / "key.pem")
    app = await start_app(algorithm=algorithm, jwt_private_key_file=file)
    user, ada = await app.user(ADA)

    published = (await app.at_root.get("/.well-known/jwks.json")).json()
    token = jwt.decode(
        ada["Authorization"].removeprefix("Bearer "), KeySet.import_key_set(published), ["RS256", "ES256", "Ed25519"]
    )

    assert (await app.http.get("/users/me", headers=ada)).status_code == 200
    assert token.header["typ"] == "at+jwt"
    assert token.claims["sub"] == str(user["id"])
    assert {"iss", "aud", "sub", "sid", "jti", "iat", "exp"} == token.claims.keys()
    for key in published["keys"]:
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_public_key_is_no_secret_and_another_key_is_none_of_ours(
    start_app: StartApp, tmp_path: Path, algorithm: str
) -> None:
    key = KEYS[algorithm]()
    app = await start_app(algorithm=algorithm, jwt_private_key_file=written(key, tmp_path / "key.pem"))
    stranger = await start_app(
        algorithm=algorithm, jwt_private_key_file=written(KEYS[algorithm](), tmp_path / "other.pem"), with_worker=False
    )
    _, ada = await app.user(ADA)
    header, claims = header_and_claims(ada["Authorization"].removeprefix("Bearer "))
    public = key.public_key()
    secrets = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        b"",
    ]
    forged = [hmac_signed({**header, "alg": "HS256"}, claims, secret) for secret in secrets]
    forged.append((await stranger.sign_in(ADA))["access_token"])

    for token in forged:
        response = await app.http.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        assert outcome(response) == (401, "invalid_token")


async def test_keys_that_the_token_brings_along_are_not_looked_at(app: RunningApp) -> None:
    _, ada = await app.user(ADA)
    header, claims = header_and_claims(ada["Authorization"].removeprefix("Bearer "))
    own = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")}
    tricks: list[dict[str, Any]] = [
        {"jwk": own},
        {"jku": "http://127.0.0.1:1/jwks.json"},
        {"x5u": "http://127.0.0.1:1/key.pem"},
        {"kid": "../../../../../dev/null"},
        {"kid": "' OR '1'='1"},
        {"kid": ["a", "b"]},
        {"kid": None},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"alg": "HS512"},
        {"alg": ["HS256"]},
    ]

    for trick in tricks:
        token = hmac_signed(header | trick, claims, b"x" * 32)
        response = await app.http.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        assert outcome(response) == (401, "invalid_token"), trick


@on()
async def test_no_other_token_of_ours_serves_as_an_access_token(app: RunningApp) -> None:
    await app.register(ADA)
    pair = await app.sign_in(ADA)
    mailed = await app.mailbox.token(ADA, page="/verify-email")

    for token in (pair["refresh_token"], mailed):
        response = await app.http.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        assert outcome(response) == (401, "invalid_token")
    refused = await app.http.post("/auth/refresh", json={"refresh_token": pair["access_token"]})
    assert outcome(refused) == (401, "invalid_refresh_token")
    assert (await app.http.post("/auth/verify-email", json={"token": mailed})).status_code == 200


async def test_the_scheme_may_be_written_in_any_case_and_nothing_else_is_one(app: RunningApp) -> None:
    await app.register(ADA)
    token = (await app.sign_in(ADA))["access_token"]

    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await app.http.get("/users/me", headers={"Authorization": f"{scheme} {token}"})).status_code == 200
    for value in ("", "Bearer", "Bearer ", token, f"Basic {token}", f"Token {token}", f"Bearer:{token}"):
        response = await app.http.get("/users/me", headers={"Authorization": value})
        assert outcome(response) == (401, "not_authenticated"), value
        assert response.headers["WWW-Authenticate"] == "Bearer"
    for elsewhere in ({"params": {"access_token": token}}, {"headers": {"Cookie": f"access_token={token}"}}):
        assert outcome(await app.http.get("/users/me", **elsewhere)) == (401, "not_authenticated")


@on()
async def test_a_token_ends_with_its_user_and_comes_back_with_no_other(app: RunningApp) -> None:
    _, root = await app.superuser()
    user, ada = await app.user(ADA)
    await app.http.delete(f"/users/{user['id']}", headers=root)
    await app.register(ADA)

    assert outcome(await app.http.get("/users/me", headers=ada)) == (401, "invalid_token")
    assert (await app.http.get("/users/me", headers=bearer(await app.sign_in(ADA)))).status_code == 200
