import importlib
import pkgutil
from collections import Counter

import pytest

import domain
from domain.errors import Refusal, TooManyAttempts, UpstreamError
from domain.files import FileTooLarge
from domain.images import FileTypeNotAllowed
from domain.partner import ExternalApiError, ExternalServiceUnavailable

RULES = ("domain.", "application.")
"""Where refusals have names that people read; what an adapter tells itself is its own."""


def kinds(of: type[Refusal]) -> list[type[Refusal]]:
    """All that derive from it and give a code: a kind of another one that keeps its code says the same as that."""
    for module in pkgutil.iter_modules(domain.__path__):
        importlib.import_module(f"domain.{module.name}")
    derived = [kind for direct in of.__subclasses__() for kind in (direct, *kinds(direct))]
    return [kind for kind in derived if "code" in vars(kind) and kind.__module__.startswith(RULES)]


NAMED = kinds(Refusal)


def test_each_refusal_has_a_code_of_its_own() -> None:
    shared = {code for code, number in Counter(kind.code for kind in NAMED).items() if number > 1}
    assert shared == {"invalid_token"}, "an access token and a mailed token share it, and differ in their status"


@pytest.mark.parametrize(
    "kind",
    [kind for kind in NAMED if kind not in (TooManyAttempts, FileTooLarge, FileTypeNotAllowed)],
    ids=lambda kind: kind.__name__,
)
def test_a_refusal_says_its_message(kind: type[Refusal]) -> None:
    refusal = kind(500) if issubclass(kind, UpstreamError) else kind()
    assert str(refusal) == kind.message
    assert not kind.message.endswith(".")


@pytest.mark.parametrize(("seconds", "told"), [(-5, 1), (0, 1), (1, 1), (60, 60)])
@pytest.mark.parametrize("kind", [TooManyAttempts, ExternalServiceUnavailable])
def test_one_who_is_to_come_again_waits_a_second_or_more(
    kind: type[TooManyAttempts | ExternalServiceUnavailable], seconds: int, told: int
) -> None:
    refusal = kind(seconds)
    assert refusal.retry_after == told
    assert str(refusal) == kind.message


def test_an_error_of_a_service_that_we_depend_on_tells_its_status() -> None:
    assert ExternalApiError(418).upstream_status == 418
