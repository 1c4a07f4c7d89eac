from datetime import UTC, datetime, timedelta

import pytest

from domain.sessions import REUSE_GRACE, InvalidRefreshToken, RefreshToken, RefreshTokenReused, Session
from domain.users import UserId

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def a_token(*, spent_at: datetime | None = None) -> RefreshToken:
    return RefreshToken(token_hash="h", session_id="s", expires_at=NOW + timedelta(days=30), spent_at=spent_at)


def test_the_grace_is_ten_seconds() -> None:
    assert timedelta(seconds=10) == REUSE_GRACE


def test_a_token_remembers_when_it_was_first_spent() -> None:
    token = a_token()
    token.spend(NOW)
    token.spend(NOW + REUSE_GRACE)
    assert token.spent_at == NOW


def test_a_token_spent_again_after_the_grace_was_reused() -> None:
    with pytest.raises(RefreshTokenReused):
        a_token(spent_at=NOW).spend(NOW + REUSE_GRACE + MOMENT)


def test_spending_again_and_again_does_not_prolong_the_grace() -> None:
    token = a_token()
    for seconds in (0, 6, 10):
        token.spend(NOW + timedelta(seconds=seconds))
    with pytest.raises(RefreshTokenReused):
        token.spend(NOW + timedelta(seconds=12))


def test_an_expired_token_is_refused_and_not_spent() -> None:
    token = a_token()
    with pytest.raises(InvalidRefreshToken):
        token.spend(token.expires_at)
    assert token.spent_at is None
    token.spend(token.expires_at - MOMENT)


def test_a_spent_token_is_reused_even_after_it_expired() -> None:
    token = a_token(spent_at=NOW)
    with pytest.raises(RefreshTokenReused):
        token.spend(token.expires_at + timedelta(days=1))


def test_a_session_lasts_from_its_last_use() -> None:
    session = Session(
        id="s", user_id=UserId(1), created_at=NOW, last_used_at=NOW, expires_at=NOW, user_agent=None, ip=None
    )
    session.renew(now=NOW + timedelta(days=2), lifetime=timedelta(days=30))
    assert session.created_at == NOW
    assert session.last_used_at == NOW + timedelta(days=2)
    assert session.expires_at == NOW + timedelta(days=32)
