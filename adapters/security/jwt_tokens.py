"""Access tokens: signed JSON Web Tokens (RFC 7519, RFC 7515) by joserfc."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from adapters.security.signing_keys import SigningKey, SigningKeys
from application.ports.clock import Clock
from application.ports.security import Claims
from domain.ids import id_in
from domain.sessions import InvalidAccessToken
from domain.users import UserId

if TYPE_CHECKING:
    from joserfc.jwk import Key
    from joserfc.jws import JWSRegistry

TYPE: Final = "at+jwt"
LONGEST_TOKEN: Final = 4096
"""Characters."""


@dataclass(frozen=True, slots=True)
class _Signatures:
    """What is prepared once, so that a request only pays for the signature itself."""

    registry: "JWSRegistry"
    verify: Callable[[bytes, bytes, "Key"], bool]
    """Whether a message's signature was made with that key."""
    decode: Callable[[bytes], bytes]
    """base64url without padding and in its one canonical form, else `ValueError`."""
    keys: tuple[SigningKey, ...]
    by_header: dict[bytes, SigningKey]
    """Each key under the one header, as encoded, that a token signed with it has."""


class JwtAccessTokens:
    """Issues tokens and believes only what it could have issued itself.

    A token's header must be, byte for byte, the one that goes with one of the keys. So the algorithm, the type and the
    key are never the token's to choose, no header parameter has a meaning here, and nothing in a token is parsed before
    its signature holds. All of `iss`, `aud`, `sub`, `sid`, `jti`, `iat` and `exp` must be there; no leeway on time.
    """

    def __init__(self, keys: SigningKeys, issuer: str, audience: str, lifetime: timedelta, clock: Clock) -> None:
        self.lifetime_seconds = int(lifetime.total_seconds())
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    def prepare(self) -> None:
        """Load library and keys, so that the first token needn't wait for it. Any thread may do it, at any time."""
        _ = self._signatures

    def issue(self, user_id: UserId, session_id: str) -> str:
        from joserfc import jws

        issued_at = int(self._clock.now().timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user_id),
            "sid": session_id,
            "jti": uuid4().hex,
            "iat": issued_at,
            "exp": issued_at + self.lifetime_seconds,
        }
        current = self._signatures.keys[0]
        payload = json.dumps(claims, separators=(",", ":"))
        return jws.serialize_compact(
            self._header(current), payload, current.signing, registry=self._signatures.registry
        )

    def verify(self, token: str) -> Claims:
        try:
            return self._claims(self._signed_payload(token))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise InvalidAccessToken from None

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys, as a JSON Web Key Set (RFC 7517). There are none with HS256: its keys are secret."""
        keys = [] if self._keys.algorithm == "HS256" else self._signatures.keys
        return {
            "keys": [key.verifying.as_dict(kid=key.kid, use="sig", alg=self._keys.algorithm) for key in keys],
        }

    def _header(self, key: SigningKey) -> dict[str, Any]:
        return {"alg": self._keys.algorithm, "typ": TYPE, "kid": key.kid}

    @cached_property
    def _signatures(self) -> _Signatures:
        from joserfc import jws
        from joserfc.util import urlsafe_b64decode

        registry = jws.JWSRegistry(algorithms=[self._keys.algorithm])
        algorithm = registry.get_alg(self._keys.algorithm)
        keys = self._keys.load()
        by_header = {}
        for key in keys:
            algorithm.check_key(key.verifying)
            example = jws.serialize_compact(self._header(key), b"", key.signing, registry=registry)
            by_header[example.partition(".")[0].encode()] = key
        return _Signatures(registry, algorithm.verify, urlsafe_b64decode, keys, by_header)

    def _signed_payload(self, token: str) -> bytes:
        """The payload, once its signature holds. Raises `ValueError` or `KeyError` if it doesn't."""
        if len(token) > LONGEST_TOKEN:
            raise ValueError
        signed, _, signature = token.encode("ascii").rpartition(b".")
        header, _, payload = signed.partition(b".")
        signatures = self._signatures
        key = signatures.by_header[header]
        if not signatures.verify(signed, signatures.decode(signature), key.verifying):
            raise ValueError
        return signatures.decode(payload)

    def _claims(self, payload: bytes) -> Claims:
        """Raises one of the errors that `verify` catches unless every claim holds."""
        claims = json.loads(payload.decode())
        subject, session_id, expires_at = claims["sub"], claims["sid"], claims["exp"]
        now = self._clock.now().timestamp()
        if not (
            claims["iss"] == self._issuer
            and claims["aud"] == self._audience
            and type(expires_at) is int
            and now < expires_at
            and type(claims["iat"]) is int
            and type(claims["jti"]) is str
            and type(session_id) is str
            and session_id
            and claims.get("nbf", 0) <= now
            and (user_id := id_in(subject)) is not None
        ):
            raise ValueError
        return Claims(UserId(user_id), session_id, float(expires_at))
