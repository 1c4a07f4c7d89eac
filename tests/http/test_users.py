"""Accounts over HTTP."""

from tests.running_app import PASSWORD, RunningApp


async def test_registering_gives_the_account_and_where_it_is(app: RunningApp) -> None:
    response = await app.http.post("/users/", json={"email": "Ada@Example.org", "password": PASSWORD})

    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/users/{response.json()['id']}"
    assert response.json()["email"] == "ada@example.org"
    assert "password" not in response.text
