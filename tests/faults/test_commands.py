"""The commands, end to end."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.processes import check, command, mail_through, readiness, serving
from tests.mail_server import smtp_server
from tests.partner_server import drops, gives, partner_server, says
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
        ((*superuser(ROOT), "--password-stdin"), f"{PASSWORD}\0\n", "a character that can't be used"),
        (superuser(ROOT), "", "password"),
        ((*superuser("nix"), "--password-stdin"), f"{PASSWORD}\n", "--email: must be an email address, such as"),
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
    before = await check(data, **settings)
    migrated = await command(data, "migrate", **settings)
    after = await check(data, **settings)

    assert before[0] == 1
    assert "run portico migrate" in before[1]
    assert (migrated[0], migrated[2]) == (0, "")
    assert after[:2] == (0, "database: ok\nstorage: ok\njobs: ok\n")


async def test_check_finds_nothing_wrong_with_a_fresh_checkout(data: Path) -> None:
    note = "ok (the schema is brought up to date when portico serve starts)"

    by_itself = await check(data)
    by_hand = await check(data, AUTO_MIGRATE="false")

    assert by_itself[:2] == (0, f"database: {note}\nstorage: ok\njobs: {note}\n")
    assert by_hand[0] == 1
    assert "run portico migrate" in by_hand[1]


async def test_a_database_that_can_not_be_used_is_told_by_every_command_without_a_traceback(data: Path) -> None:
    data.mkdir()
    (data / "in the way").write_text("this is no database, and longer than the header of one, " * 20)
    for settings, kind in (
        ({"DATA_DIR": str(data / "in the way"), "SECRET_KEY": "s" * 32}, "FileExistsError"),
        ({"DATABASE_URL": f"sqlite:///{data}/in the way"}, "DatabaseError"),
    ):
        checked = await check(data, **settings)
        served = await command(data, "serve", "--port=0", **settings)
        chosen = {"stdin": f"{PASSWORD}\n", "AUTO_MIGRATE": "false"}
        created = await command(data, *superuser(ROOT), "--password-stdin", **chosen, **settings)
        migrated = await command(data, "migrate", **settings)

        assert [result[0] for result in (checked, served, created, migrated)] == [1] * 4
        assert f"database: can't be used ({kind}): look whether the file in DATA_DIR" in checked[1]
        for result in (served, created):
            assert result[2].endswith("The database can't be used now; portico check says why.\n")
        assert migrated[2].startswith(f"the database could not be brought up to date: {kind}")
        assert len(migrated[2].splitlines()) == 1
        assert not any("Traceback" in result[2] for result in (checked, served, created, migrated))


async def test_a_database_of_a_newer_version_is_nothing_wrong_but_can_not_be_migrated(data: Path) -> None:
    assert (await command(data, "migrate"))[0] == 0
    with closing(sqlite3.connect(data / "portico.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    checked = await check(data)
    migrated = await command(data, "migrate")
    async with serving(data) as process:
        assert (await readiness(process))[1]["database"] == "ok"

    assert checked[0] == 0
    assert checked[1].startswith("database: ok (the schema is of a newer version: 9999, where this one knows ")
    assert migrated[0] == 1
    assert "its schema is of a newer version (9999" in migrated[2]
    assert len(migrated[2].splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://portico:hidden-password@localhost:1/portico", "ConnectionRefusedError"),
        ("postgresql://portico:hidden-password@/portico?host={folder}", "FileNotFoundError"),
        ("postgresql://portico:hidden-password@{server}/hidden-name?{query}", "InvalidCatalogNameError"),
    ],
)
async def test_check_says_that_it_is_the_database_and_what_to_look_at(
    postgres_url: str, data: Path, url: str, kind: str
) -> None:
    server, _, query = postgres_url.partition("@")[2].partition("/")
    wrong = url.format(folder=data, server=server, query=query.partition("?")[2])
    if "hidden-name" in url:
        wrong = wrong.replace("portico:hidden-password@", "postgres@")

    status, output, errors = await check(data, DATABASE_URL=wrong)

    said = dict(line.split(": ", 1) for line in output.splitlines())
    assert status == 1
    assert said["database"].startswith(f"can't be used ({kind}): look whether PostgreSQL runs where DATABASE_URL says")
    assert said["jobs"].startswith("the job queue is kept in the database")
    assert said["storage"] == "ok"
    assert "hidden" not in output
    assert "hidden-password" not in errors


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_check_asks_every_part_that_is_named(database: dict[str, str], data: Path) -> None:
    nobody = f"unix://{data}/nobody.sock"
    async with smtp_server(tls="none") as mails:
        well = await check(data, **database, **mail_through(mails))
        await mails.go_away()
        more = {"REDIS_URL": nobody, "RATE_LIMITS_ENABLED": "true"}
        unwell = await check(data, **database, **mail_through(mails), **more)

    assert well[:2] == (0, "database: ok\nstorage: ok\njobs: ok\nmail: ok\n")
    assert unwell[0] == 1
    said = dict(line.split(": ", 1) for line in unwell[1].splitlines())
    assert {part for part, state in said.items() if state != "ok"} == {"redis", "mail"}
    assert "Traceback" not in unwell[2]


async def test_check_asks_the_partner_too(data: Path) -> None:
    said = []
    async with partner_server() as partner:
        for act in (gives({}), says(401), drops):
            partner.acts["/data"] = [act]
            status, output, _ = await check(data, EXTERNAL_API_URL=partner.url, EXTERNAL_API_TIMEOUT_SECONDS="60")
            said.append((status, output.splitlines()[-1]))

    assert said == [
        (0, "partner: ok"),
        (1, "partner: answers with status 401 at EXTERNAL_API_URL/data"),
        (1, "partner: gives no JSON at EXTERNAL_API_URL/data: look whether it runs there"),
    ]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_check_says_what_is_wrong_with_the_bucket(database: dict[str, str], data: Path, rclone: S3Server) -> None:
    s3 = {
        "STORAGE_BACKEND": "s3",
        "S3_ENDPOINT_URL": rclone.url,
        "S3_BUCKET": rclone.new_bucket(),
        "S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    }
    well = await check(data, **database, **s3)
    unwell = await check(data, **database, **(s3 | {"S3_SECRET_ACCESS_KEY": "short-and-wrong"}))

    assert well[:2] == (0, "database: ok\nstorage: ok\njobs: ok\n")
    assert unwell[0] == 1
    assert "storage: the bucket S3_BUCKET can't be written to; the log says why\n" in unwell[1]
    assert "SignatureDoesNotMatch" in unwell[2] or "Error performing" in unwell[2]
    assert "short-and-wrong" not in unwell[1] + unwell[2]


async def test_a_full_disk_is_not_ready(data: Path) -> None:
    with small_file_system(data, mebibytes=4) as small:
        assert (await command(small, "migrate"))[0] == 0
        fill(small / "ballast")
        status, output, _ = await check(small, SECRET_KEY="s" * 32)

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


@pytest.mark.parametrize("port", ["65536", "99999", "-1"])
async def test_a_port_that_can_not_be_is_a_wrong_setting(data: Path, port: str) -> None:
    status, output, errors = await command(data, "serve", f"--port={port}")

    assert (status, output, errors) == (2, "", "--port: must be from 0 to 65535\n")


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


async def test_the_background_work_is_looked_after_from_the_command_line(database: dict[str, str], data: Path) -> None:
    named = {"database_url": url} if (url := database.get("DATABASE_URL")) else {}
    async with run_app(settings_for(data, **named), with_worker=False) as app:
        await app.register(ADA)
    listed = await command(data, "jobs", "list", **database)
    head, line = listed[1].splitlines()
    job_id, state, kind = line.split()[:3]

    shown = await command(data, "jobs", "show", job_id, **database)
    retried = await command(data, "jobs", "retry", job_id, **database)
    cancelled = await command(data, "jobs", "cancel", job_id, **database)
    gone = await command(data, "jobs", "show", job_id, **database)
    nameless = await command(data, "jobs", "show", **database)

    assert head.split() == ["ID", "STATE", "KIND", "ATTEMPTS", "AGE", "ERROR"]
    assert (state, kind) == ("waiting", "mail_verification")
    assert shown[0] == 0
    assert "Attempts  [░░░░░░░░░░░░░░░░░░░░] 0 of 10\n" in shown[1]
    assert "Payload   user_id (the values are not shown)\n" in shown[1]
    assert ADA not in shown[1]
    assert (retried[0], retried[2]) == (1, "There is no dead job of that id.\n")
    assert cancelled == (0, "", "")
    assert (gone[0], gone[1], gone[2]) == (1, "", "There is no job of that id.\n")
    assert nameless[0] == 2
    assert (await command(data, "jobs", "list", **database))[1].splitlines() == [
        "ID  STATE  KIND  ATTEMPTS  AGE  ERROR"
    ]


async def test_an_id_that_is_no_text_is_that_of_no_job(database: dict[str, str], data: Path) -> None:
    for action, kind in (("show", "job"), ("cancel", "job"), ("retry", "dead job")):
        answer = await command(data, "jobs", action, "\udcff", **database)
        assert answer == (1, "", f"There is no {kind} of that id.\n")
