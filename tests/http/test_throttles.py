"""How often something may be tried."""

from typing import Any

import pytest

from tests.deployments import on
from tests.http.answers import outcome, work_done
from tests.http.conftest import StartApp
from tests.running_app import PASSWORD, RunningApp, bearer

ADA = "ada@example.org"
WRONG = "Wrong-Horse-42"
REFUSED = (429, "too_many_attempts")
PROXY = "203.0.113.7"


async def try_in(app: RunningApp, address: str = ADA, password: str = WRONG, **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await app.http.post("/auth/login", json={"email": address, "password": password}, headers=names)


async def fail_ten_times(app: RunningApp, address: str = ADA, **headers: str) -> None:
    for _ in range(10):
        assert outcome(await try_in(app, address, **headers)) == (401, "invalid_credentials")


async def test_after_ten_failures_an_address_and_account_must_wait_and_nobody_else(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True)
    elsewhere = await start_app(rate_limits_enabled=True, with_worker=False, client="198.51.100.9")
    _, ada = await app.user(ADA)
    await app.register("grace@example.org")

    await fail_ten_times(app, "ADA@example.org")
    for password in (PASSWORD, WRONG):
        refused = await try_in(app, password=password)
        assert outcome(refused) == REFUSED
        assert 0 < int(refused.headers["Retry-After"]) <= 900

    sessions = (await app.http.get("/auth/sessions", headers=ada)).json()["items"]
    assert len(sessions) == 1
    await app.sign_in("grace@example.org")
    await elsewhere.sign_in(ADA)


async def test_an_account_that_is_none_is_throttled_alike(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True, with_worker=False)

    await fail_ten_times(app, "no@example.org")

    refused = await try_in(app, "no@example.org")
    assert outcome(refused) == REFUSED
    assert 0 < int(refused.headers["Retry-After"]) <= 900


async def test_signing_in_rightly_is_not_counted(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True, with_worker=False)
    await app.register(ADA)

    for _ in range(9):
        assert outcome(await try_in(app)) == (401, "invalid_credentials")
    for _ in range(20):
        await app.sign_in(ADA)

    assert outcome(await try_in(app)) == (401, "invalid_credentials")
    assert outcome(await try_in(app)) == REFUSED


async def test_after_a_hundred_failures_an_address_must_wait_whatever_the_account(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True, with_worker=False)
    elsewhere = await start_app(rate_limits_enabled=True, with_worker=False, client="198.51.100.9")
    await app.register(ADA)

    for number in range(100):
        assert outcome(await try_in(app, f"user{number}@example.org")) == (401, "invalid_credentials")

    assert outcome(await try_in(app, ADA, PASSWORD)) == REFUSED
    await elsewhere.sign_in(ADA)


async def test_guessing_the_password_of_an_open_session_is_throttled(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True)
    user, ada = await app.user(ADA)
    await work_done(app)

    async def every_way(password: str) -> list[Any]:
        change = {"current_password": password, "new_password": "Better-Horse-43"}
        move = {"new_email": "new@example.org", "password": password}
        return [
            await app.http.post("/auth/password/change", json=change, headers=ada),
            await app.http.post("/users/me/email", json=move, headers=ada),
            await app.http.request("DELETE", "/users/me", json={"password": password}, headers=ada),
        ]

    guesses = [response for _ in range(4) for response in await every_way(WRONG)]
    rightly = await every_way(PASSWORD)

    assert [outcome(response) for response in guesses] == [(403, "wrong_password")] * 10 + [REFUSED] * 2
    assert [outcome(response) for response in rightly] == [REFUSED] * 3
    assert all(0 < int(response.headers["Retry-After"]) <= 900 for response in rightly)
    assert (await app.http.get("/users/me", headers=ada)).json() == user
    await work_done(app)
    assert len(app.mailbox.mails()) == 1


async def test_registration_is_limited_to_60_an_hour_for_one_address(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True)
    elsewhere = await start_app(rate_limits_enabled=True, with_worker=False, client="198.51.100.9")
    await app.register(ADA)

    taken = [await app.http.post("/users/", json={"email": ADA, "password": PASSWORD}) for _ in range(59)]
    refused = await app.http.post("/users/", json={"email": "new@example.org", "password": PASSWORD})

    assert {outcome(response) for response in taken} == {(409, "email_taken")}
    assert outcome(refused) == REFUSED
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    await work_done(app)
    assert len(app.mailbox.mails()) == 1
    await app.sign_in(ADA)
    await elsewhere.register("new@example.org")


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/auth/password/forgot", "/auth/verify-email/resend"),
        ("/auth/verify-email/resend", "/auth/password/forgot"),
    ],
)
async def test_asking_for_mail_is_limited_to_60_an_hour_for_one_address(
    start_app: StartApp, path: str, other: str
) -> None:
    app = await start_app(rate_limits_enabled=True)
    elsewhere = await start_app(rate_limits_enabled=True, with_worker=False, client="198.51.100.9")
    await app.register(ADA)

    responses = [await app.http.post(path, json={"email": "no@example.org"}) for _ in range(60)]
    refused = await app.http.post(path, json={"email": ADA})

    assert {response.status_code for response in responses} == {202}
    assert outcome(refused) == REFUSED
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    await work_done(app)
    assert len(app.mailbox.mails()) == 1
    for there, at in ((elsewhere, path), (app, other)):
        assert (await there.http.post(at, json={"email": "no@example.org"})).status_code == 202
    await app.register("new@example.org")


async def test_asking_for_another_address_is_limited_to_60_an_hour_for_one_address(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True, with_worker=False)
    elsewhere = await start_app(rate_limits_enabled=True, with_worker=False, client="198.51.100.9")
    _, ada = await app.user(ADA)
    _, grace = await app.user("grace@example.org")

    async def ask(app: RunningApp, headers: dict[str, str], address: str) -> Any:
        return await app.http.post(
            "/users/me/email", json={"new_email": address, "password": PASSWORD}, headers=headers
        )

    taken = [await ask(app, grace, ADA) for _ in range(60)]
    refused = await ask(app, ada, "new@example.org")

    assert {outcome(response) for response in taken} == {(409, "email_taken")}
    assert outcome(refused) == REFUSED
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert (await ask(elsewhere, ada, "new@example.org")).status_code == 202


async def test_without_rate_limits_nothing_is_throttled(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=False)
    await app.register(ADA)

    await fail_ten_times(app)
    await fail_ten_times(app)

    await app.sign_in(ADA)


async def test_a_forwarded_address_is_believed_only_from_a_trusted_proxy(start_app: StartApp) -> None:
    for trusted, seen in (([], PROXY), (["192.0.2.1"], PROXY), (["203.0.113.0/24"], "192.0.2.55")):
        app = await start_app(trusted_proxies=trusted, with_worker=False)
        user = await app.register()
        pair = (await try_in(app, user["email"], PASSWORD, X_Forwarded_For="192.0.2.55")).json()
        [session] = (await app.http.get("/auth/sessions", headers=bearer(pair))).json()["items"]
        assert session["ip"] == seen
        await app.http.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=bearer(pair))


async def test_behind_a_trusted_proxy_each_client_is_throttled_by_itself(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True, trusted_proxies=[PROXY], with_worker=False)
    await app.register(ADA)

    await fail_ten_times(app, X_Forwarded_For="192.0.2.55")

    forged = "198.51.100.1, 192.0.2.55"  # the proxy appends what it saw to what the client claims
    for claimed in ("192.0.2.55", forged):
        assert outcome(await try_in(app, password=PASSWORD, X_Forwarded_For=claimed)) == REFUSED
    assert (await try_in(app, password=PASSWORD, X_Forwarded_For="192.0.2.56")).status_code == 200


async def test_nobody_gets_a_fresh_allowance_by_claiming_another_address(start_app: StartApp) -> None:
    app = await start_app(rate_limits_enabled=True, with_worker=False)
    await app.register(ADA)

    for number in range(10):
        wrong = await try_in(app, X_Forwarded_For=f"192.0.2.{number}", Forwarded=f"for=192.0.2.{number}")
        assert outcome(wrong) == (401, "invalid_credentials")

    assert outcome(await try_in(app, password=PASSWORD, X_Forwarded_For="192.0.2.99")) == REFUSED


@on(throttles="redis")
async def test_what_one_process_counted_the_others_know_through_redis(start_app: StartApp) -> None:
    one, other = await start_app(), await start_app(with_worker=False)
    await one.register(ADA)

    await fail_ten_times(one)

    assert outcome(await try_in(other, password=PASSWORD)) == REFUSED


@on(throttles="memory")
async def test_without_redis_each_process_counts_for_itself(start_app: StartApp) -> None:
    one, other = [await start_app(rate_limits_enabled=True, with_worker=False) for _ in range(2)]
    await one.register(ADA)

    await fail_ten_times(one)

    assert outcome(await try_in(one, password=PASSWORD)) == REFUSED
    await other.sign_in(ADA)
