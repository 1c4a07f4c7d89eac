from datetime import UTC, datetime, timedelta

import pytest

from domain.mailed_tokens import InvalidMailedToken, MailedToken, Purpose
from domain.users import Email, UserId

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def a_token(purpose: Purpose = Purpose.VERIFY_EMAIL) -> MailedToken:
    return MailedToken(
        token_hash="h",
        user_id=UserId(1),
        purpose=purpose,
        email=Email("ada@example.org"),
        expires_at=NOW + purpose.lifetime,
    )


def test_a_link_to_reset_a_password_works_for_an_hour_and_the_others_for_a_day() -> None:
    assert Purpose.RESET_PASSWORD.lifetime == timedelta(hours=1)
    assert Purpose.VERIFY_EMAIL.lifetime == Purpose.CHANGE_EMAIL.lifetime == timedelta(hours=24)


def test_a_token_can_be_redeemed_once() -> None:
    token = a_token()
    token.redeem(Purpose.VERIFY_EMAIL, NOW)
    assert token.dead
    with pytest.raises(InvalidMailedToken):
        token.redeem(Purpose.VERIFY_EMAIL, NOW)


@pytest.mark.parametrize("made_for", Purpose)
@pytest.mark.parametrize("used_for", Purpose)
def test_a_token_is_good_for_its_purpose_only(made_for: Purpose, used_for: Purpose) -> None:
    token = a_token(made_for)
    assert token.is_live(used_for, NOW) == (made_for is used_for)
    if made_for is not used_for:
        with pytest.raises(InvalidMailedToken):
            token.redeem(used_for, NOW)
        assert not token.dead


@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_expires_to_the_moment(purpose: Purpose) -> None:
    token = a_token(purpose)
    assert token.is_live(purpose, token.expires_at - timedelta(microseconds=1))
    with pytest.raises(InvalidMailedToken):
        token.redeem(purpose, token.expires_at)
    assert not token.dead
