"""Links to content that work without signing in."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.fakes import SettableClock
from tests.http.answers import outcome
from tests.http.conftest import StartApp
from tests.http.uploading import Headers, upload
from tests.running_app import PASSWORD, RunningApp


async def link(app: RunningApp, headers: Headers, file: dict[str, Any], expires_in: int = 3600) -> dict[str, Any]:
    response = await app.http.post(f"/files/{file['id']}/link", json={"expires_in": expires_in}, headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def path_of(url: str) -> str:
    assert url.startswith("http://localhost:8000/api/v1/files/")
    return url.removeprefix("http://localhost:8000")


async def test_a_link_opens_the_content_of_its_file_alone_without_signing_in(app: RunningApp) -> None:
    _, ada = await app.user()
    file, other = await upload(app, ada, b"tea", "a.png", "image/png"), await upload(app, ada, b"milk")
    path = path_of((await link(app, ada, file))["url"])
    response = await app.at_root.get(path)
    assert (response.status_code, response.content) == (200, b"tea")
    assert response.headers["Content-Disposition"].startswith('attachment; filename="a.png"')
    assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert (await app.at_root.get(f"{path}&inline=true")).headers["Content-Disposition"].startswith("inline")
    assert (await app.at_root.get(path, headers={"Range": "bytes=1-"})).content == b"ea"
    assert (await app.at_root.head(path)).headers["Content-Length"] == "3"
    wrong = path.replace(f"/files/{file['id']}/", f"/files/{other['id']}/")
    assert outcome(await app.at_root.get(wrong)) == (403, "invalid_link")
    for method, place in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        asked = await app.at_root.request(method, f"/api/v1/files/{file['id']}{place}?{urlsplit(path).query}")
        assert outcome(asked) == (401, "not_authenticated")


async def test_a_link_starts_with_the_public_url(start_app: StartApp) -> None:
    app = await start_app(public_url="https://files.example.com/portico", api_v1_str="/backend")
    _, ada = await app.user()
    url = (await link(app, ada, await upload(app, ada)))["url"]
    assert url.startswith("https://files.example.com/portico/backend/files/")


async def test_a_link_dies_on_time(app_with_clock: RunningApp, clock: SettableClock) -> None:
    app = app_with_clock
    _, ada = await app.user()
    made = await link(app, ada, await upload(app, ada), 1)
    expires_at = datetime.fromisoformat(made["expires_at"])
    assert made["expires_at"].endswith("Z")
    assert timedelta(seconds=1) <= expires_at - clock.now() < timedelta(seconds=2)
    clock.moment = expires_at - timedelta(microseconds=1)
    assert (await app.at_root.get(path_of(made["url"]))).status_code == 200
    clock.moment = expires_at.astimezone(UTC)
    assert outcome(await app.at_root.get(path_of(made["url"]))) == (403, "invalid_link")


async def test_a_link_dies_with_its_file(app: RunningApp) -> None:
    _, ada = await app.user()
    file = await upload(app, ada)
    path = path_of((await link(app, ada, file))["url"])
    await app.http.delete(f"/files/{file['id']}", headers=ada)
    await upload(app, ada)
    assert outcome(await app.at_root.get(path)) == (404, "file_not_found")


async def test_a_link_dies_with_the_account_that_made_it_before_its_files_are_removed(start_app: StartApp) -> None:
    app = await start_app(with_worker=False)
    _, ada = await app.user()
    path = path_of((await link(app, ada, await upload(app, ada)))["url"])
    assert (await app.at_root.get(path)).status_code == 200
    deleted = await app.http.request("DELETE", "/users/me", headers=ada, json={"password": PASSWORD})
    assert deleted.status_code == 204
    assert outcome(await app.at_root.get(path)) == (404, "file_not_found")


async def test_a_link_dies_when_any_byte_of_it_changes(app: RunningApp) -> None:
    _, ada = await app.user()
    path = path_of((await link(app, ada, await upload(app, ada)))["url"])
    address, _, query = path.partition("?")
    fields = dict(parse_qsl(query))
    for name, value in fields.items():
        for at, character in enumerate(value):
            for other in {"0", "A", "_", "+", "\u0660"} - {character}:
                changed = fields | {name: value[:at] + other + value[at + 1 :]}
                response = await app.at_root.get(f"{address}?{urlencode(changed)}")
                assert response.status_code == 403, changed
        for changed in (fields | {name: value + "="}, fields | {name: " " + value}, fields | {name: ""}):
            assert (await app.at_root.get(f"{address}?{urlencode(changed)}")).status_code == 403
        assert (await app.at_root.get(f"{address}?{urlencode({name: value})}")).status_code == 422


async def test_a_link_of_another_portico_opens_nothing(start_app: StartApp) -> None:
    one, other = await start_app(secret_key="a" * 32), await start_app(secret_key="b" * 32)
    _, ada = await one.user()
    path = path_of((await link(one, ada, await upload(one, ada)))["url"])
    assert (await one.at_root.get(path)).status_code == 200
    assert outcome(await other.at_root.get(path)) == (403, "invalid_link")


@pytest.mark.parametrize("expires_in", [0, -1, 604801, 1.5, "60", None, True])
async def test_a_lifetime_out_of_bounds_is_refused(app: RunningApp, expires_in: Any) -> None:
    _, ada = await app.user()
    file = await upload(app, ada)
    response = await app.http.post(f"/files/{file['id']}/link", json={"expires_in": expires_in}, headers=ada)
    assert outcome(response) == (422, "validation_error")
    assert (await link(app, ada, file, 604800))["url"]


async def test_the_same_link_is_given_under_an_idempotency_key(
    app_with_clock: RunningApp, clock: SettableClock
) -> None:
    app = app_with_clock
    _, ada = await app.user()
    file = await upload(app, ada)
    keyed = {**ada, "Idempotency-Key": "once"}
    first = await app.http.post(f"/files/{file['id']}/link", json={"expires_in": 60}, headers=keyed)
    clock.advance(timedelta(seconds=5))
    again = await app.http.post(f"/files/{file['id']}/link", json={"expires_in": 60}, headers=keyed)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await app.http.post(f"/files/{file['id']}/link", json={"expires_in": 61}, headers=keyed)
    assert outcome(other) == (422, "idempotency_key_reused")


async def test_no_log_shows_a_link(app: RunningApp, capfd: pytest.CaptureFixture[str]) -> None:
    _, ada = await app.user()
    made = await link(app, ada, await upload(app, ada))
    signature = dict(parse_qsl(urlsplit(made["url"]).query))["signature"]
    assert (await app.at_root.get(path_of(made["url"]))).status_code == 200
    refused = await app.at_root.get(path_of(made["url"]) + "x")
    assert signature not in refused.text
    output, errors = capfd.readouterr()
    assert "/shared" in output + errors
    assert signature not in output + errors
