"""Health, metrics and public keys, as those who run Portico see them.

One deployment will do for a database that was never migrated: on either, nothing else is asked.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.http.answers import work_done
from tests.http.conftest import StartApp
from tests.running_app import RunningApp, eventually, run_app, settings_for


def sample(text: str, name: str, **labels: str) -> float | None:
    """What the exposition says of this series."""
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name == name and one.labels == labels:
                return one.value
    return None


async def is_counted(app: RunningApp, kind: str) -> None:
    """Return once a job of this kind is: a moment after it is written down as done."""
    series = f'portico_jobs_total{{kind="{kind}"'.encode()
    await eventually(lambda: series in app.container.metrics().exposition(None, {}))


async def test_it_is_ready_once_every_part_is(app: RunningApp) -> None:
    ready = await app.at_root.get("/health/ready")

    assert ready.status_code == 200
    parts = ["database", "storage", "jobs", *(["redis"] if app.settings.redis_url else [])]
    assert ready.json() == {"status": "ready", "checks": dict.fromkeys(parts, "ok")}


@pytest.fixture(params=["sqlite", "postgres"])
def never_migrated(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The settings that name an empty database."""
    return {"database_url": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}


async def test_a_database_that_was_never_migrated_is_not_ready_and_says_what_to_do(
    never_migrated: dict[str, Any], tmp_path: Path
) -> None:
    async with run_app(settings_for(tmp_path, **never_migrated), with_worker=False) as app:
        live = await app.at_root.get("/health/live")
        ready = await app.at_root.get("/health/ready")
        refused = await app.http.post("/auth/password/forgot", json={"email": "ada@example.org"})
        metrics = await app.at_root.get("/metrics")

    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()["status"]) == (503, "not_ready")
    assert "run portico migrate" in ready.json()["checks"]["database"]
    assert ready.json()["checks"]["storage"] == "ok"
    assert int(ready.headers["Retry-After"]) > 0
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert metrics.status_code == 200


async def test_redis_is_asked_only_where_one_is_set(start_app: StartApp, tmp_path: Path) -> None:
    secret = "hidden-in-the-url"
    app = await start_app(redis_url=f"unix://:{secret}@{tmp_path}/nobody.sock", rate_limits_enabled=True)

    ready = await app.at_root.get("/health/ready")

    assert ready.status_code == 503
    assert ready.json()["checks"] == {
        "database": "ok",
        "storage": "ok",
        "jobs": "ok",
        "redis": "Redis does not answer at REDIS_URL",
    }
    assert secret not in ready.text


async def test_requests_jobs_and_mails_are_counted_under_their_names(app: RunningApp) -> None:
    await app.register("ada@example.org")
    await app.http.post("/users/", json={})
    await app.http.get("/users/7")
    await is_counted(app, "mail_verification")
    await work_done(app)

    response = await app.at_root.get("/metrics")
    text = response.text

    users = {"method": "POST", "route": "/api/v1/users/"}
    one = {"method": "GET", "route": "/api/v1/users/{user_id}", "status": "401"}
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert sample(text, "portico_http_requests_total", **users, status="201") == 1
    assert sample(text, "portico_http_requests_total", **users, status="422") == 1
    assert sample(text, "portico_http_requests_total", **one) == 1
    assert sample(text, "portico_http_request_duration_seconds_count", **one) == 1
    assert sample(text, "portico_http_requests_in_flight") == 1  # the one that asks
    assert sample(text, "portico_jobs_total", kind="mail_verification", outcome="done") == 1
    assert sample(text, "portico_mails_total", outcome="sent") == 1
    assert sample(text, "portico_job_queue_depth") == 0
    assert sample(text, "portico_job_queue_age_seconds") == 0
    assert sample(text, "portico_jobs_running") == 0
    assert sample(text, "portico_jobs_retrying") == 0
    assert sample(text, "portico_jobs_dead") == 0
    assert sample(text, "portico_websocket_connections") == 0
    assert sample(text, "portico_database_connections", state="used") is not None
    assert sample(text, "portico_database_connections", state="idle") is not None


async def test_a_mail_that_nobody_gets_is_none_that_was_sent(app: RunningApp) -> None:
    await app.http.post("/auth/password/forgot", json={"email": "nobody@example.org"})
    await is_counted(app, "mail_password_reset")

    text = (await app.at_root.get("/metrics")).text

    assert sample(text, "portico_jobs_total", kind="mail_password_reset", outcome="done") == 1
    assert sample(text, "portico_mails_total", outcome="sent") is None


async def test_what_separate_workers_do_shows_in_the_queues_figures(start_app: StartApp) -> None:
    app = await start_app(with_worker=False)
    queue = app.container.job_queue()
    for _ in range(3):
        await app.register()
    running, failing, dying = await queue.claim("another process", limit=3, lease=timedelta(hours=1))
    await queue.put_back(failing, delay=timedelta(hours=1), error="not now")
    await queue.bury(dying, error="never")
    await app.register()

    text = (await app.at_root.get("/metrics")).text

    for name in ("job_queue_depth", "jobs_running", "jobs_retrying", "jobs_dead"):
        assert sample(text, f"portico_{name}") == 1, name
    assert running.kind == "mail_verification"


async def test_a_method_or_path_of_ones_own_makes_no_new_series(app: RunningApp) -> None:
    for number in range(5):
        await app.http.request(f"MADEUP{number}", "/users/me")
        await app.http.get(f"/made-up/{number}")

    text = (await app.at_root.get("/metrics")).text

    assert "made" not in text.lower()
    assert sample(text, "portico_http_requests_total", method="GET", route="unmatched", status="404") == 5


async def test_two_apps_in_one_process_count_apart(start_app: StartApp) -> None:
    one = await start_app(with_worker=False, project_name="One")
    two = await start_app(with_worker=False, project_name="Two", api_v1_str="/v2")
    await one.http.get("/nothing")

    texts = [(await app.at_root.get("/metrics")).text for app in (one, two)]
    titles = [(await app.http.get("/openapi.json")).json()["info"]["title"] for app in (one, two)]

    found = [
        sample(text, "portico_http_requests_total", method="GET", route="unmatched", status="404") for text in texts
    ]
    assert found == [1, None]
    assert titles == ["One", "Two"]
    assert (await one.at_root.get("/v2/openapi.json")).status_code == 404
