"""What secrets promise: the system's, and the fake's."""

import re

import pytest

from adapters.security.secrets import SystemSecrets
from application.ports.security import Secrets
from tests.fakes.parts import SequentialSecrets

KEY = b"k" * 32


@pytest.fixture(params=["system", "fake"])
def secrets(request: pytest.FixtureRequest) -> Secrets:
    return SystemSecrets(KEY) if request.param == "system" else SequentialSecrets()


class TestEverySecrets:
    def test_new_secrets_and_ids_are_never_the_same(self, secrets: Secrets) -> None:
        made = [secrets.new() for _ in range(500)] + [secrets.new_id() for _ in range(500)]
        assert len(set(made)) == 1000

    def test_a_derived_secret_is_the_same_each_time(self, secrets: Secrets) -> None:
        assert secrets.derived("mail", "7") == secrets.derived("mail", "7")

    @pytest.mark.parametrize("other", [("mail", "8"), ("reset", "7"), ("mail7", ""), ("", "mail7"), ("mai", "l7")])
    def test_another_purpose_or_subject_has_another_secret(self, secrets: Secrets, other: tuple[str, str]) -> None:
        assert secrets.derived("mail", "7") != secrets.derived(*other)

    def test_a_derived_secret_is_known_by_what_it_belongs_to(self, secrets: Secrets) -> None:
        secret = secrets.derived("mail", "7")
        assert secrets.is_derived(secret, "mail", "7")
        assert not secrets.is_derived(secret, "mail", "8")
        assert not secrets.is_derived(secret[:-1], "mail", "7")
        assert not secrets.is_derived("\ud800é", "mail", "7")

    def test_a_hash_tells_secrets_apart_and_is_the_same_each_time(self, secrets: Secrets) -> None:
        assert secrets.hash("one") == secrets.hash("one") != secrets.hash("other")


class TestSystemSecrets:
    def test_secrets_are_url_safe_text_of_256_bits(self) -> None:
        secrets = SystemSecrets(KEY)
        for secret in (secrets.new(), secrets.derived("mail", "7")):
            assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secret)

    def test_an_id_is_32_hexadecimal_digits(self) -> None:
        assert re.fullmatch(r"[0-9a-f]{32}", SystemSecrets(KEY).new_id())

    def test_a_derived_secret_depends_on_the_key_alone(self) -> None:
        assert SystemSecrets(KEY).derived("mail", "7") == SystemSecrets(KEY).derived("mail", "7")
        assert SystemSecrets(KEY).derived("mail", "7") != SystemSecrets(b"j" * 32).derived("mail", "7")

    def test_what_was_derived_from_a_previous_key_is_known_and_made_no_more(self) -> None:
        before = SystemSecrets(KEY).derived("mail", "7")
        now = SystemSecrets(b"j" * 32, [KEY])
        assert now.is_derived(before, "mail", "7")
        assert now.derived("mail", "7") != before
        assert not SystemSecrets(b"j" * 32).is_derived(before, "mail", "7")

    @pytest.mark.parametrize("text", ["", "\0", "\ud800", "x" * 1_000_000], ids=["empty", "NUL", "surrogate", "long"])
    def test_any_text_has_a_hash_of_64_hexadecimal_digits(self, text: str) -> None:
        assert re.fullmatch(r"[0-9a-f]{64}", SystemSecrets(KEY).hash(text))

    def test_a_short_key_is_refused(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            SystemSecrets(b"k" * 31)
        with pytest.raises(ValueError, match="32 bytes"):
            SystemSecrets(KEY, [b"k" * 31])
