"""The commands, end to end."""

import json
from pathlib import Path

import pytest

from tests.faults.processes import command, mail_through
from tests.mail_server import smtp_server
from tests.running_app import PASSWORD, bearer, run_app, settings_for
from tests.s3_servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, S3Server
from tests.small_file_system import fill, small_file_system

ADA = "ada@example.org"
ROOT = "root@example.org"
OTHER_PASSWORD = "Battery-Staple-43"


def superuser(address: str) -> tuple[str, ...]:
    return ("create-superuser", "--email", address)


async def test_a_superuser_is_created_or_an_account_promoted(database: dict[str, str], data: Path) -> None:
    named = {"database_url": url} if (url := database.get("DATABASE_URL")) else {}
    async with run_app(settings_for(data, **named)) as app:
        await app.register(ADA)
        created = await command(data, *superuser(ROOT), "--password-stdin", stdin=f"{PASSWORD}\n", **database)
        promoted = await command(data, *superuser("ada@EXAMPLE.org"), **database)
        reset = await command(data, *superuser(ROOT), "--password-stdin", stdin=OTHER_PASSWORD, **database)
        lists = []
        for address, password in ((ROOT, OTHER_PASSWORD), (ADA, PASSWORD)):
            lists.append((await app.http.get("/users/", headers=bearer(await app.sign_in(address, password)))).json())

    assert [result[0] for result in (created, promoted, reset)] == [0, 0, 0]
    assert created[1] == f"{ROOT} is a superuser.\n"
    for users in lists:
        assert {user["email"]: user["is_superuser"] for user in users["items"]} == {ADA: True, ROOT: True}


@pytest.mark.parametrize(
    ("arguments", "password", "why"),
    [
        ((*superuser(ROOT), "--password-stdin"), "short\n", "8 to 100 characters"),
        (superuser(ROOT), "", "password"),
        ((*superuser("not an address"), "--password-stdin"), f"{PASSWORD}\n", "address"),
    ],
)
async def test_a_superuser_who_can_not_be_is_refused_in_one_line(
    data: Path, arguments: tuple[str, ...], password: str, why: str
) -> None:
    status, output, errors = await command(data, *arguments, stdin=password)

    assert (status, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert why in errors


async def test_check_says_what_is_wrong_with_the_database(postgres_url: str, data: Path) -> None:
    settings = {"DATABASE_URL": postgres_url, "MAIL_BACKEND": "file"}
    before = await command(data, "check", **settings)
    migrated = await command(data, "migrate", **settings)
    after = await command(data, "check", **settings)

    assert before[0] == 1
    assert "run portico migrate" in before[1]
    assert (migrated[0], migrated[2]) == (0, "")
    assert after[:2] == (0, "database: ok\nstorage: ok\njobs: ok\n")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_check_asks_every_part_that_is_named(database: dict[str, str], data: Path) -> None:
    nobody = f"unix://{data}/nobody.sock"
    async with smtp_server(tls="none") as mails:
        well = await command(data, "check", **database, **mail_through(mails))
        await mails.go_away()
        more = {"REDIS_URL": nobody, "RATE_LIMITS_ENABLED": "true"}
        unwell = await command(data, "check", **database, **mail_through(mails), **more)

    assert well[:2] == (0, "database: ok\nstorage: ok\njobs: ok\nmail: ok\n")
    assert unwell[0] == 1
    said = dict(line.split(": ", 1) for line in unwell[1].splitlines())
    assert {part for part, state in said.items() if state != "ok"} == {"redis", "mail"}
    assert "Traceback" not in unwell[2]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_check_says_what_is_wrong_with_the_bucket(database: dict[str, str], data: Path, rclone: S3Server) -> None:
    s3 = {
        "STORAGE_BACKEND": "s3",
        "S3_ENDPOINT_URL": rclone.url,
        "S3_BUCKET": rclone.new_bucket(),
        "S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    }
    well = await command(data, "check", **database, **s3)
    unwell = await command(data, "check", **database, **(s3 | {"S3_SECRET_ACCESS_KEY": "short-and-wrong"}))

    assert well[:2] == (0, "database: ok\nstorage: ok\njobs: ok\n")
    assert unwell[0] == 1
    assert "storage: the bucket S3_BUCKET can't be written to; the log says why\n" in unwell[1]
    assert "SignatureDoesNotMatch" in unwell[2] or "Error performing" in unwell[2]
    assert "short-and-wrong" not in unwell[1] + unwell[2]


async def test_a_full_disk_is_not_ready(data: Path) -> None:
    with small_file_system(data, mebibytes=4) as small:
        assert (await command(small, "migrate"))[0] == 0
        fill(small / "ballast")
        status, output, _ = await command(small, "check", SECRET_KEY="s" * 32)

    assert status == 1
    assert "storage: there is no room left\n" in output


async def test_a_wrong_setting_has_one_line_and_its_value_is_not_printed(data: Path) -> None:
    secret, pigeon = "short-secret-value", "pigeon-post"
    wrong = {"SECRET_KEY": secret, "MAIL_BACKEND": pigeon, "PORT": "many", "BACKEND_CORS_ORIGINS": "https://a.example"}
    for arguments in (("serve",), superuser(ROOT)):
        status, output, errors = await command(data, *arguments, **wrong)

        assert (status, output) == (2, "")
        assert sorted(line.partition(": ")[0] for line in errors.splitlines()) == sorted(wrong)
        assert secret not in errors
        assert pigeon not in errors


async def test_production_demands_what_must_not_be_left_to_chance(data: Path) -> None:
    status, _, errors = await command(data, "serve", ENVIRONMENT="production", BACKEND_CORS_ORIGINS='["*"]')

    assert status == 2
    named = [line.partition(": ")[0] for line in errors.splitlines()]
    assert sorted(named) == ["BACKEND_CORS_ORIGINS", "MAIL_BACKEND", "SECRET_KEY"]


async def test_the_openapi_document_is_printed(data: Path) -> None:
    status, output, errors = await command(data, "openapi")

    assert (status, errors) == (0, "")
    assert json.loads(output)["openapi"].startswith("3.")
    assert "/api/v1/users/" in json.loads(output)["paths"]
