import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.users import (
    LONGEST_FULL_NAME,
    Actor,
    Email,
    LastSuperuser,
    NotEnoughPrivileges,
    UserChange,
    must_leave_a_superuser,
    valid_full_name,
)
from tests.builders import a_user

MUENCHEN = "xn--mnchen-3ya.de"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.ORG", "ada@example.org"),
        ("  ada@example.org\n", "ada@example.org"),
        ("ju\u0308rgen@example.org", "jürgen@example.org"),
        ("JÜRGEN@example.org", "jürgen@example.org"),
        (f"ada@{MUENCHEN}", "ada@münchen.de"),
        (f"ADA@{MUENCHEN.upper()}", "ada@MÜNCHEN.de"),
        (f"ada@ä.{MUENCHEN}", "ada@ä.münchen.de"),
        ("ada@xn--strae-oqa.de", "ada@straße.de"),
        ("ada@xn--bcher-laden-thb.de", "ada@bücher-laden.de"),
    ],
)
def test_every_spelling_of_an_address_is_the_same_address(one: str, other: str) -> None:
    assert Email(one) == Email(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.org",
        "ada@",
        "ada lovelace@example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@exam\u200bple.org",
        "ada\x00@example.org",
        "a" * 243 + "@example.org",
    ],
)
def test_what_can_not_be_an_address_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="must be an email address") as refused:
        Email(text)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("label", ["xn--a-93t", "xn--a-tln", "xn--abc-", "xn--\u00fc", "xn--99999999999"])
def test_a_domain_label_that_spells_no_word_stays_as_it_is(label: str) -> None:
    assert Email(f"ada@{label}.org").domain == f"{label}.org"


def test_the_longest_address_has_254_characters() -> None:
    assert len(Email("a" * 242 + "@example.org")) == 254


@given(st.text(max_size=30), st.text(max_size=30).map(lambda text: "xn--" + text) | st.text(max_size=30))
def test_the_canonical_spelling_is_canonical(local: str, domain: str) -> None:
    try:
        email = Email(f"{local}@{domain}")
    except ValueError:
        return
    assert Email(email) == email
    assert str(email) == unicodedata.normalize("NFC", email)
    assert email.isprintable()


@given(st.text("abcdefghiäöüßéñ.", min_size=1, max_size=20), st.sampled_from(["example.org", "münchen.de"]))
def test_case_and_composition_never_tell_two_addresses_apart(local: str, domain: str) -> None:
    email = Email(f"{local}@{domain}")
    assert Email(unicodedata.normalize("NFD", email)) == email
    assert Email(email.title().replace("SS", "ß").replace("Ss", "ß")) == email


def test_an_address_that_was_stored_is_taken_as_it_is() -> None:
    assert Email.known("ada@example.org") == Email("Ada@example.org")


def test_another_address_counts_as_verified_only_if_its_owner_confirmed_it() -> None:
    confirmed, set_by_another = a_user(), a_user()
    confirmed.change_email(Email("new@example.org"), verified=True)
    set_by_another.change_email(Email("new@example.org"), verified=False)
    assert (confirmed.email, confirmed.is_verified) == ("new@example.org", True)
    assert (set_by_another.email, set_by_another.is_verified) == ("new@example.org", False)


def test_the_same_address_stays_as_verified_as_it_was() -> None:
    user = a_user("ada@example.org")
    user.change_email(Email("ADA@example.org"), verified=False)
    assert user.is_verified


@pytest.mark.parametrize(("is_superuser", "is_active"), [(True, False), (False, True), (False, False)])
def test_only_an_active_superuser_administers(is_superuser: bool, is_active: bool) -> None:
    assert not a_user(is_superuser=is_superuser, is_active=is_active).administers
    assert a_user(is_superuser=True).administers


@pytest.mark.parametrize("name", [None, "A", "Ada Lovelace", "艾达", "Ω" * LONGEST_FULL_NAME])
def test_a_name_is_any_line_of_text_or_none(name: str | None) -> None:
    assert valid_full_name(name) == name


@pytest.mark.parametrize(
    "name", ["", " ", " \u3000\u00a0", "x" * (LONGEST_FULL_NAME + 1), "Ada\nLovelace", "Ada\u2028", "\x1b[2J"]
)
def test_what_is_no_name_is_refused_without_being_repeated(name: str) -> None:
    user = a_user(full_name="Ada")
    for take in (valid_full_name, lambda name: user.edit(UserChange(rename=True, full_name=name))):
        with pytest.raises(ValueError, match=r"^A name must be .* (not blank|control characters)$") as refused:
            take(name)
        assert not name.strip() or name not in str(refused.value)
    assert user.full_name == "Ada"


def test_a_change_leaves_alone_what_it_does_not_name() -> None:
    user = a_user(full_name="Ada")
    user.edit(UserChange(full_name="ignored"))
    assert user == a_user(full_name="Ada")
    user.edit(UserChange(email=Email("new@example.org"), is_active=False, is_superuser=True, rename=True))
    assert user == a_user("new@example.org", is_verified=False, is_active=False, is_superuser=True, full_name=None)


def test_of_the_superusers_one_must_stay() -> None:
    must_leave_a_superuser({1, 2}, without=1)
    must_leave_a_superuser({1}, without=2)
    with pytest.raises(LastSuperuser):
        must_leave_a_superuser({1}, without=1)


def test_the_mark_of_a_password_changes_with_it_and_tells_nothing_of_its_hash() -> None:
    user = a_user()
    assert user.password_mark == replace(user, full_name="Ada").password_mark
    assert user.password_mark != replace(user, password_hash=f"{user.password_hash}x").password_mark
    assert user.password_hash not in user.password_mark


def test_an_actor_may_act_on_itself_and_a_superuser_on_everybody() -> None:
    Actor(a_user(id=1), "s").must_be_self_or_superuser(1)
    Actor(a_user(id=1, is_superuser=True), "s").must_be_self_or_superuser(2)
    with pytest.raises(NotEnoughPrivileges):
        Actor(a_user(id=1), "s").must_be_self_or_superuser(2)


def test_only_a_superuser_passes_for_one() -> None:
    Actor(a_user(is_superuser=True), "s").must_be_superuser()
    with pytest.raises(NotEnoughPrivileges):
        Actor(a_user(), "s").must_be_superuser()
