"""The dashboard and the alert rules ask for figures that there are, by labels that they have."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.programs import run
from tests.running_app import copy_database, eventually, run_app, settings_for

ROOT: Final = Path(__file__).parents[2]
DEPLOYMENT: Final = ROOT / "entrypoints" / "deployment"
RULES: Final[list[dict[str, Any]]] = [
    rule
    for group in yaml.safe_load((DEPLOYMENT / "alerts.yaml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
PANELS: Final[list[dict[str, Any]]] = json.loads((DEPLOYMENT / "grafana.json").read_text("utf-8"))["panels"]
ASKED: Final = [
    *(rule["expr"] for rule in RULES),
    *(target["expr"].replace("$__rate_interval", "5m") for panel in PANELS for target in panel["targets"]),
]
OF_PROMETHEUS: Final = {"up": {"job", "instance"}}
"""What Prometheus itself says of each server."""
PROMTOOL: Final = shutil.which("promtool")
HOW_TO_GET: Final = "no promtool on this machine: `apt-get install prometheus`"
REQUESTS: Final = "portico_http_requests_total"
BUCKET: Final = "portico_http_request_duration_seconds_bucket"
CONNECTIONS: Final = "portico_database_connections"
SCENES: Final = {
    "PorticoDown": ({'up{job="portico"}': "1 0x20"}, {'up{job="portico"}': "1 0 1x20", 'up{job="another"}': "0x20"}),
    "PorticoErrors": (
        {f'{REQUESTS}{{status="503"}}': "0+2x20", f'{REQUESTS}{{status="200"}}': "0+98x20"},
        {f'{REQUESTS}{{status="503"}}': "0+1x20", f'{REQUESTS}{{status="404"}}': "0+199x20"},
    ),
    "PorticoSlow": (
        {
            f'{BUCKET}{{route="/items/",le="1.0"}}': "0+98x20",
            f'{BUCKET}{{route="/items/",le="2.5"}}': "0+100x20",
            f'{BUCKET}{{route="/items/",le="+Inf"}}': "0+100x20",
        },
        {
            f'{BUCKET}{{route="/items/",le="1.0"}}': "0+100x20",
            f'{BUCKET}{{route="/items/",le="+Inf"}}': "0+100x20",
            f'{BUCKET}{{route="/api/v1/files/{{file_id}}/content",le="1.0"}}': "0x20",
            f'{BUCKET}{{route="/api/v1/files/{{file_id}}/content",le="+Inf"}}': "0+100x20",
        },
    ),
    "PorticoConnectionsUsedUp": (
        {f'{CONNECTIONS}{{state="idle"}}': "0x20", f'{CONNECTIONS}{{state="used"}}': "10x20"},
        {f'{CONNECTIONS}{{state="idle"}}': "0x20", f'{CONNECTIONS}{{state="used"}}': "3x20"},
    ),
    "PorticoWorkWaits": (
        {"portico_job_queue_age_seconds": "0+60x20"},
        {"portico_job_queue_age_seconds": "299x20"},
    ),
    "PorticoWorkFails": ({"portico_jobs_retrying": "5x20"}, {"portico_jobs_retrying": "5x10 0x10"}),
    "PorticoWorkFailed": ({"portico_jobs_dead": "1x20"}, {"portico_jobs_dead": "0x20"}),
}
"""Each alert with what it is for and what it is not for: series and their values, minute by minute."""


def selectors(node: Any) -> Iterator[Any]:
    """Every series that the expression selects."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("vector_selector", "lhs", "rhs", "expr", "param"):
        if (child := getattr(node, name, None)) is not None:
            yield from selectors(child)
    if isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from selectors(argument)


@pytest.fixture
async def series(tmp_path: Path, sqlite_template: Path) -> dict[str, set[str]]:
    """The names of all series of a server that has done something of everything, each with its labels."""
    data = tmp_path / "data"
    copy_database(sqlite_template, data)
    async with run_app(settings_for(data)) as app:
        await app.user("ada@example.org")
        counters = (b"portico_mails_total{", b"portico_jobs_total{")  # a mail is counted before the job that sends it
        await eventually(lambda: all(each in app.container.metrics().exposition(None, {}) for each in counters))
        exposition = (await app.at_root.get("/metrics")).text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    return found | OF_PROMETHEUS


async def test_all_that_is_asked_for_is_there(series: dict[str, set[str]]) -> None:
    for expression in ASKED:
        found = list(selectors(promql_parser.parse(expression)))
        assert found, expression
        for selector in found:
            assert selector.name in series, expression
            assert {matcher.name for matcher in selector.matchers.matchers} <= series[selector.name], expression
        grouped = {label for labels in re.findall(r"by \((.*?)\)", expression) for label in labels.split(", ")}
        assert grouped <= set().union(*(series[selector.name] for selector in found)), expression


async def test_everything_that_portico_says_is_shown(series: dict[str, set[str]]) -> None:
    shown = {selector.name for expression in ASKED for selector in selectors(promql_parser.parse(expression))}
    own = {name for name in series if name.startswith("portico_") and not name.endswith(("_sum", "_count"))}

    assert own - shown == set()


def test_an_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"Portico[A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "what_to_do"}
        assert re.fullmatch(r"\d+m", rule.get("for", "0m"))


@pytest.mark.skipif(PROMTOOL is None, reason=HOW_TO_GET)
async def test_prometheus_takes_what_the_readme_sets_it_up_with(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    (written,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(written, "utf-8")
    shutil.copy(DEPLOYMENT / "alerts.yaml", tmp_path)

    await run(PROMTOOL, "check", "config", "prometheus.yml", folder=tmp_path)

    (scraped,) = yaml.safe_load(written)["scrape_configs"]
    assert any(f'up{{job="{scraped["job_name"]}"}}' in rule["expr"] for rule in RULES)


@pytest.mark.skipif(PROMTOOL is None, reason=HOW_TO_GET)
async def test_an_alert_comes_when_it_should_and_alone(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    assert list(SCENES) == [rule["alert"] for rule in RULES]
    firing = 'sum by (alertname) (ALERTS{alertstate="firing"})'
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in scene.items()],
            "promql_expr_test": [{"expr": firing, "eval_time": "20m", "exp_samples": expected}],
        }
        for alert, (bad, good) in SCENES.items()
        for scene, expected in ((bad, [{"labels": f'{{alertname="{alert}"}}', "value": 1}]), (good, []))
    ]
    file = tmp_path / "tests.yaml"
    file.write_text(json.dumps({"rule_files": [str(DEPLOYMENT / "alerts.yaml")], "tests": tests}), "utf-8")

    await run(PROMTOOL, "test", "rules", file, folder=tmp_path)


def test_panels_do_not_overlap_and_fit_the_page() -> None:
    taken = set[tuple[int, int]]()
    for place in [panel["gridPos"] for panel in PANELS]:
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
