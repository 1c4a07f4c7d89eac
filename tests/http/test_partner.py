"""The partner's API over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.deployments import LAPTOP, Deployment
from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.partner_server import PartnerServer, drops, gives, lies, nobodys_address, partner_server, says
from tests.running_app import RunningApp

PROBLEM = {"Accept": "application/problem+json"}


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do: nothing here depends on which."""
    return LAPTOP


@pytest.fixture
async def partner() -> AsyncIterator[PartnerServer]:
    async with partner_server() as server:
        yield server


@pytest.fixture
async def app(start_app: StartApp, partner: PartnerServer) -> RunningApp:
    return await start_app(with_worker=False, external_api_url=partner.url + "/", external_api_timeout_seconds=60)


async def test_the_partners_data_come_as_they_are_under_the_requests_id(
    app: RunningApp, partner: PartnerServer
) -> None:
    _, ada = await app.user()
    partner.acts["/data"] = [gives({"a": [1, None, "é"]})]

    response = await app.http.get("/external-data", headers={**ada, "X-Request-ID": "mine.1"})

    assert (response.status_code, response.json()) == (200, {"a": [1, None, "é"]})
    assert partner.headers["/data"][0]["x-request-id"] == "mine.1"
    assert "authorization" not in partner.headers["/data"][0]


@pytest.mark.parametrize("path", ["/external-data", "/users/batch?user_ids=1"])
async def test_it_is_for_those_who_are_signed_in(app: RunningApp, partner: PartnerServer, path: str) -> None:
    assert outcome(await app.http.get(path)) == (401, "not_authenticated")
    assert not partner.asked


@pytest.mark.parametrize("status", [302, 401, 404, 429, 500, 503])
async def test_an_error_status_is_a_502_that_tells_it(app: RunningApp, partner: PartnerServer, status: int) -> None:
    _, ada = await app.user()
    partner.acts["/data"] = [says(status, b"a secret of theirs", Retry_After="3600")]

    plain = await app.http.get("/external-data", headers=ada)
    problem = await app.http.get("/external-data", headers={**ada, **PROBLEM})

    body = plain.json()
    assert outcome(plain) == (502, "external_api_error")
    assert (body["message"], body["upstream_status"], body["success"]) == ("External API error", status, False)
    assert outcome(problem) == (502, "external_api_error")
    assert (problem.json()["upstream_status"], problem.json()["status"]) == (status, 502)
    assert "secret" not in plain.text + problem.text


@pytest.mark.parametrize("trouble", [drops, lies])
async def test_no_answer_and_no_json_are_a_503(app: RunningApp, partner: PartnerServer, trouble: Any) -> None:
    _, ada = await app.user()
    partner.acts["/data"] = [trouble]

    response = await app.http.get("/external-data", headers=ada)

    assert outcome(response) == (503, "external_service_unavailable")
    assert response.json()["message"] == "External service unavailable"
    assert int(response.headers["Retry-After"]) >= 1
    assert "upstream_status" not in response.json()


async def test_a_slow_one_is_a_503_and_so_is_one_that_is_not_there(start_app: StartApp, partner: PartnerServer) -> None:
    partner.acts["/data"] = [partner.holds]
    slow = await start_app(with_worker=False, external_api_url=partner.url, external_api_timeout_seconds=0.3)
    with nobodys_address() as nobodys:
        away = await start_app(with_worker=False, external_api_url=nobodys)
        _, ada = await slow.user()

        for app in (slow, away):
            response = await app.http.get("/external-data", headers=ada)
            assert outcome(response) == (503, "external_service_unavailable")


async def test_where_none_is_configured_both_calls_say_so(start_app: StartApp) -> None:
    app = await start_app(with_worker=False)
    _, ada = await app.user()

    for path in ("/external-data", "/users/batch?user_ids=1,2"):
        response = await app.http.get(path, headers=ada)
        assert outcome(response) == (503, "external_service_not_configured")
        assert int(response.headers["Retry-After"]) >= 1


async def test_a_batch_comes_in_the_order_asked_with_what_failed_apart(app: RunningApp, partner: PartnerServer) -> None:
    _, ada = await app.user()
    partner.acts = {"/users/2": [says(404)], "/users/4": [drops], "/users/5": [gives({"id": 5, "name": "Grace"})]}

    response = await app.http.get("/users/batch?user_ids=5,2,3,4,3,1", headers=ada)

    assert response.status_code == 200
    assert response.json() == {
        "users": [{"id": 5, "name": "Grace"}, "/users/3", "/users/1"],
        "failed": [
            {"id": 2, "message": "External API error"},
            {"id": 4, "message": "External service unavailable"},
        ],
    }
    assert partner.asked["/users/3"] == 1


async def test_a_batch_of_a_hundred_is_fetched_no_more_at_once_than_allowed(
    start_app: StartApp, partner: PartnerServer
) -> None:
    app = await start_app(
        with_worker=False, external_api_url=partner.url, external_api_concurrency=3, external_api_timeout_seconds=60
    )
    _, ada = await app.user()

    response = await app.http.get(f"/users/batch?user_ids={','.join(map(str, range(1, 101)))}", headers=ada)

    assert response.json() == {"users": [f"/users/{number}" for number in range(1, 101)], "failed": []}
    assert partner.most_at_once <= 3


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_there_is_no_user_whose_id_is_batch(app: RunningApp, method: str) -> None:
    _, root = await app.superuser()

    response = await app.http.request(method, "/users/batch", headers=root, json={})

    assert outcome(response) == (405, "method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) - {"HEAD"} == {"GET"}


@pytest.mark.parametrize(
    "ids",
    [
        "",
        "0",
        "-1",
        "1,",
        ",1",
        "1,,2",
        "1, 2",
        "1;2",
        "a",
        "1.0",
        "+1",
        "١",  # noqa: RUF001 - a digit, but not one of ours
        "../data",
        "1/../../admin",
        "1%2f2",
        "9223372036854775808",
        "1" * 5000,
        ",".join(map(str, range(1, 102))),
    ],
)
async def test_what_is_no_list_of_1_to_100_ids_is_a_422_and_nobody_is_asked(
    app: RunningApp, partner: PartnerServer, ids: str
) -> None:
    _, ada = await app.user()

    response = await app.http.get("/users/batch", params={"user_ids": ids}, headers=ada)

    assert outcome(response) == (422, "validation_error")
    assert response.json()["errors"][0]["field"] == "query.user_ids"
    assert outcome(await app.http.get("/users/batch", headers=ada)) == (422, "validation_error")
    assert not partner.asked
