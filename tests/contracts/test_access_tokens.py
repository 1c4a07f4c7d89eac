"""What access tokens promise, then how the real ones are signed and what they refuse."""

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet

from adapters.security.jwt_tokens import JwtAccessTokens
from adapters.security.signing_keys import SigningKeys
from application.ports.security import AccessTokens
from domain.sessions import InvalidAccessToken
from domain.users import UserId
from tests.fakes.parts import FakeTokens, SettableClock

SECRET, OLD_SECRET, FOREIGN_SECRET = b"s" * 32, b"o" * 40, b"f" * 32
ISSUER, AUDIENCE = "https://portico.example", "portico"
LIFETIME = timedelta(minutes=30)
USER, SESSION = UserId(7), "0123456789abcdef"
ALGORITHMS = ["HS256", "RS256", "ES256", "EdDSA"]
RSA = rsa.generate_private_key(65537, 2048)
PRIVATE_KEYS: dict[str, Any] = {
    "RS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
Claim = dict[str, Any]


def pem(key: Any, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))


def public_pem(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


def tokens_with(keys: SigningKeys, clock: SettableClock | None = None, *, audience: str = AUDIENCE) -> JwtAccessTokens:
    return JwtAccessTokens(keys, ISSUER, audience, LIFETIME, clock or SettableClock())


def keys_for(algorithm: str, directory: Path) -> SigningKeys:
    if algorithm == "HS256":
        return SigningKeys.from_secrets(SECRET, [OLD_SECRET])
    file = directory / f"{algorithm}.pem"
    file.write_bytes(pem(PRIVATE_KEYS[algorithm]))
    return SigningKeys.from_pem_file(algorithm, file)


def encoded(part: bytes | Claim) -> str:
    content = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def refused(tokens: AccessTokens, token: str) -> bool:
    try:
        tokens.verify(token)
    except InvalidAccessToken:
        return True
    return False


@dataclass
class Subject:
    tokens: AccessTokens
    clock: SettableClock


@pytest.fixture(params=[*ALGORITHMS, "fake"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    clock = SettableClock()
    if request.param == "fake":
        return Subject(FakeTokens(clock), clock)
    return Subject(tokens_with(keys_for(request.param, tmp_path), clock), clock)


class TestEveryIssuer:
    def test_a_token_says_for_whom_and_until_when_it_is(self, subject: Subject) -> None:
        claims = subject.tokens.verify(subject.tokens.issue(USER, SESSION))
        assert (claims.user_id, claims.session_id) == (USER, SESSION)
        assert claims.expires_at == subject.clock.now().timestamp() + subject.tokens.lifetime_seconds

    def test_a_token_holds_for_its_lifetime_and_not_a_second_longer(self, subject: Subject) -> None:
        token = subject.tokens.issue(USER, SESSION)
        subject.clock.advance(timedelta(seconds=subject.tokens.lifetime_seconds - 1))
        subject.tokens.verify(token)
        subject.clock.advance(timedelta(seconds=1))
        with pytest.raises(InvalidAccessToken):
            subject.tokens.verify(token)

    @pytest.mark.parametrize(
        "text", ["", ".", "..", "a.b.c", "...", "\0", "\ud800", "é.é.é", "null", "a refresh token"], ids=ascii
    )
    def test_what_is_no_token_is_refused(self, subject: Subject, text: str) -> None:
        with pytest.raises(InvalidAccessToken):
            subject.tokens.verify(text)

    def test_the_greatest_id_comes_through(self, subject: Subject) -> None:
        assert subject.tokens.verify(subject.tokens.issue(UserId(2**63 - 1), SESSION)).user_id == 2**63 - 1


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def tokens(clock: SettableClock) -> JwtAccessTokens:
    return tokens_with(SigningKeys.from_secrets(SECRET, [OLD_SECRET]), clock)


Forge = Callable[..., str]


@pytest.fixture
def forge(tokens: JwtAccessTokens) -> Forge:
    """A token as `tokens` would issue it, but with other header parameters, claims (`...` leaves one out) or secret.

    It is signed as an attacker who has that secret would, and correctly.
    """
    genuine = tokens.issue(USER, SESSION)

    def forge(
        header: Claim | None = None, *, secret: bytes = SECRET, payload: bytes | None = None, **claims: Any
    ) -> str:
        protected = decoded(genuine.split(".")[0]) | (header or {})
        content = decoded(genuine.split(".")[1]) | claims
        content = {name: value for name, value in content.items() if value is not ...}
        body = payload if payload is not None else json.dumps(content).encode()
        signed = f"{encoded(protected)}.{encoded(body)}"
        digest = "sha" + protected["alg"].removeprefix("HS")
        return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), digest))}"

    return forge


class TestTheToken:
    def test_no_two_are_the_same(self, tokens: JwtAccessTokens) -> None:
        assert len({tokens.issue(USER, SESSION) for _ in range(20)}) == 20

    def test_header_and_claims_are_those_of_the_contract(self, tokens: JwtAccessTokens, clock: SettableClock) -> None:
        header, payload = map(decoded, tokens.issue(USER, SESSION).split(".")[:2])
        assert header.keys() == {"alg", "typ", "kid"}
        assert (header["alg"], header["typ"]) == ("HS256", "at+jwt")
        assert payload.pop("jti")
        now = int(clock.now().timestamp())
        assert payload == {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "7", "sid": SESSION, "iat": now, "exp": now + 1800,
        }  # fmt: skip

    def test_a_forgery_without_a_flaw_would_be_believed(self, tokens: JwtAccessTokens, forge: Forge) -> None:
        assert tokens.verify(forge()).user_id == USER  # so each test below fails for the reason that it names

    @pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "jti", "iat", "exp"])
    @pytest.mark.parametrize("value", [..., None, [], {}, True, 1.5], ids=repr)
    def test_a_claim_that_is_missing_or_of_another_type_is_refused(
        self, tokens: JwtAccessTokens, forge: Forge, name: str, value: Any
    ) -> None:
        assert refused(tokens, forge(**{name: value}))

    @pytest.mark.parametrize(
        "claims",
        [
            {"iss": "https://elsewhere.example"},
            {"iss": ISSUER + "/"},
            {"iss": ISSUER.upper()},
            {"iss": [ISSUER]},
            {"aud": "elsewhere"},
            {"aud": ["elsewhere", AUDIENCE]},
            {"sid": ""},
            {"exp": 0},
            {"exp": -1},
            {"exp": "9999999999"},
            {"exp": 9_999_999_999.5},
            {"exp": 10**400},
            {"exp": float("inf")},
            {"exp": float("nan")},
            {"nbf": 9_999_999_999},
            {"nbf": "0"},
        ],
        ids=str,
    )
    def test_a_foreign_or_impossible_claim_is_refused(
        self, tokens: JwtAccessTokens, forge: Forge, claims: Claim
    ) -> None:
        assert refused(tokens, forge(**claims))

    @pytest.mark.parametrize(
        "subject",
        [
            "",
            "0",
            "-1",
            "+7",
            "07",
            " 7",
            "7 ",
            "7\n",
            "7.0",
            "7e0",
            "0x7",
            "1_0",
            "\N{ARABIC-INDIC DIGIT SEVEN}",
            "ada",
            7,
            str(2**63),
            "9" * 5000,
        ],
        ids=lambda subject: ascii(subject)[:12],
    )
    def test_a_subject_that_is_no_plain_id_is_refused(
        self, tokens: JwtAccessTokens, forge: Forge, subject: Any
    ) -> None:
        assert refused(tokens, forge(sub=subject))

    @pytest.mark.parametrize(
        "payload",
        [b"", b"[]", b"null", b'"text"', b"{", b"\xff", b"[" * 1500, b'{"exp":' + b"9" * 2000 + b"}"],
        ids=lambda payload: ascii(payload)[:12],
    )
    def test_a_payload_that_is_no_set_of_claims_is_refused(
        self, tokens: JwtAccessTokens, forge: Forge, payload: bytes
    ) -> None:
        assert refused(tokens, forge(payload=payload))

    def test_a_refresh_token_or_an_id_token_signed_with_the_same_key_is_refused(
        self, tokens: JwtAccessTokens, forge: Forge
    ) -> None:
        assert refused(tokens, forge({"typ": "JWT"}))
        assert refused(tokens, forge({"typ": "rt+jwt"}))
        assert refused(tokens, forge({"typ": "AT+JWT"}))

    @pytest.mark.parametrize(
        "header",
        [
            {"kid": "unknown"},
            {"kid": ""},
            {"kid": "../../../dev/null"},
            {"kid": "' OR 1=1 --"},
            {"alg": "HS384"},
            {"alg": "HS512"},
            {"crit": ["exp"], "exp": 0},
            {"crit": ["b64"], "b64": True},
            {"b64": True},
            {"cty": "JWT"},
            {"jku": "https://elsewhere.example/jwks.json"},
            {"x5u": "https://elsewhere.example/key.pem"},
            {"x5c": ["MIIB"]},
            {"jwk": {"kty": "oct", "k": "c3M"}},
            {"unknown": 1},
        ],
        ids=str,
    )
    def test_a_header_that_says_anything_else_is_refused_though_the_signature_holds(
        self, tokens: JwtAccessTokens, forge: Forge, header: Claim
    ) -> None:
        assert refused(tokens, forge(header))

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS1"])
    def test_a_token_without_a_signature_is_refused(
        self, tokens: JwtAccessTokens, forge: Forge, algorithm: str
    ) -> None:
        header, payload, signature = forge().split(".")
        unsigned = encoded(decoded(header) | {"alg": algorithm})
        for token in (f"{unsigned}.{payload}.", f"{unsigned}.{payload}", f"{unsigned}.{payload}.{signature}"):
            assert refused(tokens, token)
        assert refused(tokens, f"{header}.{payload}.")

    def test_a_header_with_a_parameter_twice_is_refused(self, tokens: JwtAccessTokens, forge: Forge) -> None:
        header, payload, signature = forge().split(".")
        twice = encoded(b'{"alg":"none",' + json.dumps(decoded(header)).encode()[1:])
        assert refused(tokens, f"{twice}.{payload}.{signature}")

    def test_a_foreign_key_under_the_right_kid_is_refused(self, tokens: JwtAccessTokens, forge: Forge) -> None:
        assert refused(tokens, forge(secret=FOREIGN_SECRET))

    def test_one_key_under_the_kid_of_another_is_refused(self, tokens: JwtAccessTokens, forge: Forge) -> None:
        assert refused(tokens, forge(secret=OLD_SECRET))

    def test_the_other_serialisations_are_refused(self, tokens: JwtAccessTokens, forge: Forge) -> None:
        header, payload, signature = forge().split(".")
        flattened = {"protected": header, "payload": payload, "signature": signature}
        assert refused(tokens, json.dumps(flattened))
        assert refused(tokens, f"{header}.{payload}.{signature}.{signature}.{signature}")
        assert refused(tokens, f"Bearer {header}.{payload}.{signature}")

    def test_a_token_longer_than_any_that_is_issued_is_refused(self, tokens: JwtAccessTokens, forge: Forge) -> None:
        assert refused(tokens, forge(padding="x" * 4096))
        assert refused(tokens, "x" * 10_000_000)


@pytest.fixture(params=ALGORITHMS)
def issuer(request: pytest.FixtureRequest, tmp_path: Path) -> JwtAccessTokens:
    return tokens_with(keys_for(request.param, tmp_path))


class TestChangedTokens:
    @given(data=st.data())
    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    def test_no_bit_of_a_token_can_be_flipped(self, issuer: JwtAccessTokens, data: st.DataObject) -> None:
        token = bytearray(issuer.issue(USER, SESSION).encode())
        token[data.draw(st.integers(0, len(token) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        assert refused(issuer, token.decode("latin-1"))

    def test_no_other_spelling_means_the_same_signature(self, issuer: JwtAccessTokens) -> None:
        token = issuer.issue(USER, SESSION)
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="
        assert [last for last in letters if not refused(issuer, token[:-1] + last)] == [token[-1]]
        for changed in (token + "=", token + "A", token[:-1], token + "\n", " " + token):
            assert refused(issuer, changed)

    @given(st.text(max_size=300) | st.binary(max_size=300).map(lambda part: f"{encoded(part)}.{encoded(part)}."))
    def test_no_text_makes_anything_but_a_refusal(self, text: str) -> None:
        assert refused(tokens_with(SigningKeys.from_secrets(SECRET)), text)


class TestRotation:
    def test_a_previous_key_still_verifies_and_no_longer_signs(self, clock: SettableClock) -> None:
        before = tokens_with(SigningKeys.from_secrets(OLD_SECRET), clock)
        after = tokens_with(SigningKeys.from_secrets(SECRET, [FOREIGN_SECRET, OLD_SECRET]), clock)
        assert after.verify(before.issue(USER, SESSION)).user_id == USER
        assert refused(before, after.issue(USER, SESSION))

    def test_a_key_that_is_no_longer_listed_is_worth_nothing(self, clock: SettableClock) -> None:
        before = tokens_with(SigningKeys.from_secrets(OLD_SECRET), clock)
        assert refused(tokens_with(SigningKeys.from_secrets(SECRET), clock), before.issue(USER, SESSION))

    def test_the_same_key_given_twice_does_no_harm(self, clock: SettableClock) -> None:
        tokens = tokens_with(SigningKeys.from_secrets(SECRET, [SECRET]), clock)
        tokens.verify(tokens.issue(USER, SESSION))

    def test_a_token_for_another_audience_is_refused_though_the_key_is_the_same(self, clock: SettableClock) -> None:
        keys = SigningKeys.from_secrets(SECRET)
        assert refused(tokens_with(keys, clock), tokens_with(keys, clock, audience="another").issue(USER, SESSION))


def verified_by_cryptography(algorithm: str, token: str) -> None:
    """Raises `InvalidSignature` unless the token is signed as RFC 7518 or RFC 8037 says."""
    signed, _, signature_text = token.rpartition(".")
    signature = base64.urlsafe_b64decode(signature_text + "=" * (-len(signature_text) % 4))
    public = PRIVATE_KEYS[algorithm].public_key()
    if algorithm == "RS256":
        public.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    elif algorithm == "ES256":
        r, s = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
        public.verify(utils.encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
    else:
        public.verify(signature, signed.encode())


class TestPublicKeys:
    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    def test_whoever_has_the_key_set_alone_can_verify(self, tmp_path: Path, algorithm: str) -> None:
        tokens = tokens_with(keys_for(algorithm, tmp_path))
        token = tokens.issue(USER, SESSION)
        name = "Ed25519" if algorithm == "EdDSA" else algorithm
        published: Any = json.loads(json.dumps(tokens.jwks()))
        believed = jwt.decode(token, KeySet.import_key_set(published), algorithms=[name])
        assert believed.claims["sub"] == "7"
        assert believed.header == {"alg": name, "typ": "at+jwt", "kid": published["keys"][0]["kid"]}
        verified_by_cryptography(algorithm, token)

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    def test_nothing_private_is_published(self, tmp_path: Path, algorithm: str) -> None:
        (key,) = tokens_with(keys_for(algorithm, tmp_path)).jwks()["keys"]
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}
        assert key["use"] == "sig"
        assert key["alg"] == ("Ed25519" if algorithm == "EdDSA" else algorithm)

    def test_secrets_are_never_published(self, tokens: JwtAccessTokens) -> None:
        assert tokens.jwks() == {"keys": []}

    def test_keys_and_tokens_show_no_secret(self, tokens: JwtAccessTokens) -> None:
        tokens.prepare()
        shown = repr(SigningKeys.from_secrets(SECRET)) + repr(SigningKeys.from_secrets(SECRET).load()) + repr(tokens)
        assert SECRET.decode() not in shown

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    def test_a_public_key_used_as_hmac_secret_signs_nothing(self, tmp_path: Path, algorithm: str) -> None:
        tokens = tokens_with(keys_for(algorithm, tmp_path))
        header, payload, _ = tokens.issue(USER, SESSION).split(".")
        secrets = [public_pem(PRIVATE_KEYS[algorithm]), public_pem(PRIVATE_KEYS[algorithm]).strip()]
        secrets.append(json.dumps(tokens.jwks()["keys"][0]).encode())
        for secret in secrets:
            for forged_header in (header, encoded(decoded(header) | {"alg": "HS256"})):
                mac = hmac.digest(secret, f"{forged_header}.{payload}".encode(), "sha256")
                assert refused(tokens, f"{forged_header}.{payload}.{encoded(mac)}")

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    def test_a_key_of_one_kind_is_not_believed_by_another(self, tmp_path: Path, algorithm: str) -> None:
        token = tokens_with(keys_for(algorithm, tmp_path)).issue(USER, SESSION)
        for other in ALGORITHMS:
            assert refused(tokens_with(keys_for(other, tmp_path)), token) == (other != algorithm)


class TestSigningKeys:
    @pytest.mark.parametrize("secrets", [[b"k" * 31], [b""], [SECRET, b"short"]], ids=["31 bytes", "empty", "previous"])
    def test_a_short_secret_is_refused(self, secrets: list[bytes]) -> None:
        with pytest.raises(ValueError, match="at least 32 bytes"):
            SigningKeys.from_secrets(secrets[0], secrets[1:])

    def test_a_key_file_is_refused_as_a_secret(self) -> None:
        for text in (public_pem(RSA), b"\n" + pem(RSA), b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI portico"):
            with pytest.raises(ValueError, match="not a key in PEM or SSH format"):
                SigningKeys.from_secrets(text)

    @pytest.mark.parametrize(
        ("algorithm", "content", "complaint"),
        [
            ("RS256", pem(rsa.generate_private_key(65537, 1024)), "1024 bits; it must have at least 2048"),
            ("RS256", pem(PRIVATE_KEYS["ES256"]), "RS256 needs an RSA key"),
            ("ES256", pem(RSA), "ES256 needs a P-256"),
            ("ES256", pem(ec.generate_private_key(ec.SECP384R1())), "ES256 needs a P-256"),
            ("EdDSA", pem(PRIVATE_KEYS["ES256"]), "EdDSA needs an Ed25519 key"),
            ("RS256", public_pem(RSA), "must hold a private key in PEM format"),
            ("RS256", b"", "must hold a private key in PEM format"),
            ("RS256", b"\xff not a key", "must hold a private key in PEM format"),
            ("RS256", pem(RSA, b"password"), "is encrypted"),
            ("HS256", pem(RSA), "must be one of RS256, ES256, EdDSA"),
            ("none", pem(RSA), "must be one of RS256, ES256, EdDSA"),
        ],
    )
    def test_a_key_file_that_does_not_fit_is_refused_in_clear_words(
        self, tmp_path: Path, algorithm: str, content: bytes, complaint: str
    ) -> None:
        file = tmp_path / "key.pem"
        file.write_bytes(content)
        with pytest.raises(ValueError, match=complaint):
            SigningKeys.from_pem_file(algorithm, file)

    def test_a_key_file_that_is_not_there_is_refused_in_clear_words(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="can't be read: No such file"):
            SigningKeys.from_pem_file("RS256", tmp_path / "missing.pem")
