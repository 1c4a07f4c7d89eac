"""Traces: one from the request to the mail, with no value in it, and nothing of all that unless it is asked for.

One deployment will do: spans are put around the ports, whatever is behind them.
"""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.collector import Collector, collector, endless_collector
from tests.faults.processes import Process, environment, register, serving, sign_in, working
from tests.partner_server import gives, nobodys_address, partner_server, says
from tests.running_app import Mailbox, bearer, copy_database, eventually

ADA = "ada@example.org"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced(collecting: Collector) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collecting.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "MAIL_BACKEND": "file",
    }


def way_to_the_mail(collecting: Collector) -> list[Span]:
    """The span of the mail that was sent, the one that it is part of, and so on, as far as they have come."""
    spans = {span.span_id: span for span in collecting.spans}
    way = collecting.named("mailer send")
    while way and way[-1].parent_span_id in spans:
        way.append(spans[way[-1].parent_span_id])
    return way


async def test_one_trace_goes_from_the_request_to_the_mail_that_another_process_sends(
    migrated_postgres_url: str, tmp_path: Path
) -> None:
    async with collector() as collecting:
        settings = {**traced(collecting), "DATABASE_URL": migrated_postgres_url}
        async with (
            serving(tmp_path / "data", "--workers", "2", **settings) as portico,
            working(tmp_path / "data", **settings) as worker,
            portico.client() as client,
        ):
            client.headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
            assert (await register(client, ADA)).status_code == 201
            token = await Mailbox(tmp_path / "data" / "mail").token(ADA)
            await client.get(f"{portico.root}/verify-email", params={"token": token})
            await eventually(lambda: collecting.named("GET /verify-email") and len(way_to_the_mail(collecting)) >= 4)
            await eventually(lambda: lines_of_the_trace(worker))

    way = way_to_the_mail(collecting)
    assert [span.name for span in way] == [
        "mailer send",
        "job mail_verification",
        "transaction",
        "POST /api/v1/users/",
    ]
    assert {span.trace_id.hex() for span in way} == {TRACE}
    assert way[-1].parent_span_id.hex() == CALLER
    said = "\n".join(map(str, collecting.spans))
    assert ADA not in said
    assert token not in said
    assert lines_of_the_trace(portico)[0].items() >= {"event": "request", "span_id": way[-1].span_id.hex()}.items()
    assert [line["event"] for line in lines_of_the_trace(worker)] == ["job done"]


def lines_of_the_trace(process: Process) -> list[dict[str, Any]]:
    """What the process has logged of the caller's trace."""
    lines = [json.loads(line) for line in process.errors.splitlines()]
    return [line for line in lines if line.get("trace_id") == TRACE]


async def test_the_partner_hears_of_the_trace_at_each_attempt(tmp_path: Path, sqlite_template: Path) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with collector() as collecting, partner_server(acts={"/data": [says(503), gives(1)]}) as partner:
        settings = {**traced(collecting), "EXTERNAL_API_URL": partner.url}
        async with serving(tmp_path / "data", **settings) as portico, portico.client() as client:
            await register(client, ADA)
            pair = (await sign_in(client, ADA)).json()
            caller = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            assert (await client.get("/external-data", headers=bearer(pair) | caller)).status_code == 200
            (call,) = await eventually(lambda: collecting.named("partner data"))

    assert call.trace_id.hex() == TRACE
    heard = [headers["traceparent"] for headers in partner.headers["/data"]]
    assert heard == [f"00-{TRACE}-{call.span_id.hex()}-01"] * 2


async def test_opentelemetrys_own_variables_say_what_is_traced_and_who_traces(
    tmp_path: Path, sqlite_template: Path
) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with collector() as collecting:
        own = {
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging",
        }
        settings = traced(collecting) | own
        async with serving(tmp_path / "data", **settings) as portico, portico.client() as client:
            await register(client, ADA)
            await client.get("/users/me", headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
            await client.get("/items/", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
            await eventually(lambda: collecting.spans)

    assert [span.name for span in collecting.spans] == ["GET /api/v1/items/"]
    (sender,) = collecting.senders
    assert sender["service.name"] == "shop"
    assert sender["deployment.environment.name"] == "staging"
    assert sender["telemetry.sdk.language"] == "python"


@pytest.mark.parametrize("wrong", ["nonsense", f"00-{TRACE.upper()}-{CALLER}-01", f"00-{'0' * 32}-{CALLER}-01"])
async def test_a_traceparent_that_is_none_is_as_good_as_none(tmp_path: Path, sqlite_template: Path, wrong: str) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with collector() as collecting, serving(tmp_path / "data", **traced(collecting)) as portico:
        async with portico.client() as client:
            assert (await client.get("/nothing", headers={"traceparent": wrong})).status_code == 404
        (span,) = await eventually(lambda: collecting.named("GET"))

    assert span.parent_span_id == b""
    assert span.trace_id.hex() != TRACE


async def test_an_error_of_ours_is_told_by_its_status_and_without_a_value(
    tmp_path: Path, sqlite_template: Path
) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with collector() as collecting, serving(tmp_path / "data", **traced(collecting)) as portico:
        with closing(sqlite3.connect(tmp_path / "data" / "portico.db")) as database:
            database.execute("CREATE TRIGGER broken BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'no'); END")
        async with portico.client() as client:
            assert (await register(client, ADA)).status_code == 500
        (span,) = await eventually(lambda: collecting.named("POST /api/v1/users/"))

    assert span.status.code == Status.STATUS_CODE_ERROR
    (step,) = (each for each in collecting.named("transaction") if each.parent_span_id == span.span_id)
    assert step.status.code == Status.STATUS_CODE_ERROR
    said = "\n".join(map(str, collecting.spans))
    assert ADA not in said
    assert "INSERT" not in said


def errors_in(collecting: Collector) -> set[str]:
    """The kinds of all errors that spans tell of."""
    attributes = [attribute for span in collecting.spans for attribute in span.attributes]
    return {attribute.value.string_value for attribute in attributes if attribute.key == "error.type"}


async def test_a_failure_is_said_by_its_kind_alone(tmp_path: Path, sqlite_template: Path) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with collector() as collecting, serving(tmp_path / "data", **traced(collecting)) as portico:
        async with portico.client() as client:
            await register(client, ADA)
            assert (await register(client, ADA)).status_code == 409
        kinds = await eventually(lambda: errors_in(collecting))

    assert kinds == {"EmailTaken"}
    assert ADA not in "\n".join(map(str, collecting.spans))


async def test_a_part_that_is_away_is_an_error(tmp_path: Path, sqlite_template: Path) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    with nobodys_address() as address:
        async with (
            collector() as collecting,
            serving(tmp_path / "data", **traced(collecting), EXTERNAL_API_URL=address) as portico,
            portico.client() as client,
        ):
            await register(client, ADA)
            pair = (await sign_in(client, ADA)).json()
            assert (await client.get("/external-data", headers=bearer(pair))).status_code == 503
            (call,) = await eventually(lambda: collecting.named("partner data"))

    assert call.status.code == Status.STATUS_CODE_ERROR


async def test_the_calls_of_the_storage_are_spans(tmp_path: Path, sqlite_template: Path) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with collector() as collecting, serving(tmp_path / "data", **traced(collecting)):
        await eventually(lambda: collecting.named("blobs ping"))  # asked for by /health/ready


async def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Path, sqlite_template: Path) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with collector() as gone:
        settings = traced(gone)
    async with serving(tmp_path / "data", **settings) as portico, portico.client() as client:
        assert (await register(client, ADA)).status_code == 201
        portico.terminate()
        assert await portico.exit_status() == 0


async def test_a_collector_that_never_lets_go_holds_no_stop_up(tmp_path: Path, sqlite_template: Path) -> None:
    copy_database(sqlite_template, tmp_path / "data")
    async with endless_collector() as address:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "50", "MAIL_BACKEND": "file"}
        async with serving(tmp_path / "data", **settings) as portico, portico.client() as client:
            assert (await register(client, ADA)).status_code == 201
            portico.terminate()
            assert await portico.exit_status() == 0
            assert "the collector of traces does not take what is left" in portico.errors


async def test_without_an_endpoint_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys; from entrypoints.http.app import create_app; create_app();"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), env=environment(tmp_path, {}), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output == b"[]\n"
