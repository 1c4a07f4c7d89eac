"""The keys that sign access tokens."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from joserfc.jwk import Key

SHORTEST_SECRET: Final = 32
"""Bytes: as long as the hash (RFC 7518, section 3.2)."""
SHORTEST_RSA_KEY: Final = 2048
"""Bits (RFC 7518, section 3.3)."""
ASYMMETRIC: Final = {"RS256": "an RSA", "ES256": "a P-256 elliptic curve", "EdDSA": "an Ed25519"}
KEY_FILE_MARKS: Final = (b"-----BEGIN", b"ssh-", b"ecdsa-sha2-")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key under its id, the `kid` of RFC 7515. `verifying` is the public half, or the secret itself."""

    kid: str
    signing: "Key" = field(repr=False)
    verifying: "Key" = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key that signs, and after it those that no longer sign but whose signatures still hold.

    `algorithm` is the name in the token's header: `HS256`, `RS256`, `ES256` or `Ed25519` (RFC 7518, RFC 9864).
    """

    algorithm: str
    load: Callable[[], tuple[SigningKey, ...]] = field(repr=False)
    """Costs an import of a tenth of a second the first time, so it isn't called before a key is needed."""

    @classmethod
    def from_secrets(cls, current: bytes, previous: Sequence[bytes] = ()) -> "SigningKeys":
        """HS256. Raises `ValueError` for a secret under 32 bytes, or one that is really a key in PEM or SSH format."""
        secrets = (current, *previous)
        for secret in secrets:
            if len(secret) < SHORTEST_SECRET:
                raise ValueError(f"a secret for HS256 must be at least {SHORTEST_SECRET} bytes long")
            if secret.lstrip().startswith(KEY_FILE_MARKS):
                raise ValueError("a secret for HS256 must be random bytes, not a key in PEM or SSH format")
        return cls("HS256", lambda: tuple(_symmetric(secret) for secret in secrets))

    @classmethod
    def from_pem_file(cls, algorithm: str, path: Path) -> "SigningKeys":
        """The one unencrypted private key in a PEM file, for `RS256`, `ES256` or `EdDSA`, which signs as `Ed25519`.

        Raises `ValueError`, in words for whoever set the file up, if the key can't be read or doesn't fit.
        """
        if algorithm not in ASYMMETRIC:
            raise ValueError(f"must be one of {', '.join(ASYMMETRIC)}")
        name = "Ed25519" if algorithm == "EdDSA" else algorithm
        keys = (_asymmetric(name, _fitting(algorithm, _read(path))),)
        return cls(name, lambda: keys)


def _symmetric(secret: bytes) -> SigningKey:
    from joserfc.jwk import OctKey

    key = OctKey.import_key(secret)
    digest = hmac.digest(secret, b"portico access token key id", "sha256")
    return SigningKey(urlsafe_b64encode(digest[:9]).decode(), key, key)


def _asymmetric(algorithm: str, private_key: "PrivateKeyTypes") -> SigningKey:
    from cryptography.hazmat.primitives import serialization
    from joserfc import jwk

    types: dict[str, type[jwk.RSAKey | jwk.ECKey | jwk.OKPKey]]
    types = {"RS256": jwk.RSAKey, "ES256": jwk.ECKey, "Ed25519": jwk.OKPKey}
    key_type = types[algorithm]
    signing = key_type.import_key(
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    verifying = key_type.import_key(
        private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return SigningKey(verifying.thumbprint(), signing, verifying)


def _read(path: Path) -> "PrivateKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        pem = path.read_bytes()
    except OSError as error:
        raise ValueError(f"the key file can't be read: {error.strerror}") from None
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("the key file is encrypted; it must hold the private key unencrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the key file must hold a private key in PEM format") from None


def _fitting(algorithm: str, key: "PrivateKeyTypes") -> "PrivateKeyTypes":
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm == "RS256" and isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < SHORTEST_RSA_KEY:
            raise ValueError(f"the RSA key has {key.key_size} bits; it must have at least {SHORTEST_RSA_KEY}")
        return key
    if algorithm == "ES256" and isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if algorithm == "EdDSA" and isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise ValueError(f"{algorithm} needs {ASYMMETRIC[algorithm]} key; the file holds another kind")
