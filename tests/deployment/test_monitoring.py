"""The dashboard and the alert rules ask for figures that there are, by labels that they have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.running_app import copy_database, eventually, run_app, settings_for

DEPLOYMENT: Final = Path(__file__).parents[2] / "entrypoints" / "deployment"
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
        await eventually(lambda: b"portico_mails_total{" in app.container.metrics().exposition(None, {}))
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


def test_panels_do_not_overlap_and_fit_the_page() -> None:
    taken = set[tuple[int, int]]()
    for place in [panel["gridPos"] for panel in PANELS]:
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells
