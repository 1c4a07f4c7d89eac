"""Traces: one from the request to the mail, with no value in it, and nothing of all that unless it is asked for."""

import asyncio
import sys
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.collector import Collector, collector
from tests.faults.processes import environment, register, serving, working
from tests.running_app import Mailbox, copy_database, eventually

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
            working(tmp_path / "data", **settings),
            portico.client() as client,
        ):
            client.headers["traceparent"] = f"00-{TRACE}-{CALLER}-01"
            assert (await register(client, ADA)).status_code == 201
            token = await Mailbox(tmp_path / "data" / "mail").token(ADA)
            await client.get(f"{portico.root}/verify-email", params={"token": token})
            await eventually(lambda: collecting.named("GET /verify-email") and len(way_to_the_mail(collecting)) >= 4)

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
