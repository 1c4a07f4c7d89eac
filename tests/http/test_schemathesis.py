"""The whole OpenAPI document, attacked by schemathesis against a real server: on what is embedded, and on what is
distributed."""

import sys
from pathlib import Path

from tests.deployments import on
from tests.faults.processes import command, serving
from tests.partner_server import partner_server
from tests.programs import run
from tests.running_app import PASSWORD

ROOT = Path(__file__).parents[2]
SUPERUSER = "root@example.org"


@on(mail="file")
async def test_nothing_that_the_document_allows_or_forbids_finds_a_fault(
    tmp_path: Path, deployment_environment: dict[str, str]
) -> None:
    data = tmp_path / "data"
    async with (
        partner_server() as partner,
        serving(data, **deployment_environment, EXTERNAL_API_URL=partner.url) as portico,
        portico.client() as client,
    ):
        created = await command(
            data,
            "create-superuser",
            "--email",
            SUPERUSER,
            "--password-stdin",
            stdin=f"{PASSWORD}\n",
            **deployment_environment,
        )
        assert created[0] == 0
        pair = (await client.post("/auth/login", json={"email": SUPERUSER, "password": PASSWORD})).json()
        output = await run(
            Path(sys.executable).with_name("st"),
            *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
            "run",
            f"http://127.0.0.1:{portico.port}/api/v1/openapi.json",
            *("--header", f"Authorization: Bearer {pair['access_token']}"),
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "20", "--seed", "1", "--warnings", "off", "--no-color"),
            *("--exclude-operation-id", "sign_out"),  # it would sign the rest of the run out
            # A token, an address or a password of the right shape may still be none that we take.
            *("--exclude-checks", "positive_data_acceptance"),
            folder=tmp_path,
            PYTHONPATH=str(ROOT),
        )

    assert "generated" in output
