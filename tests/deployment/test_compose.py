"""compose.yaml: it keeps to the Compose specification, and starts what it should in the right order."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from compose_spec import PyCompose

from entrypoints.settings import Settings

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "compose.yaml").read_text("utf-8")
SERVICES: Final[dict[str, dict[str, Any]]] = yaml.safe_load(TEXT)["services"]
OF_PORTICO: Final = ["migrate", "portico", "worker"]


def parsed(text: str) -> PyCompose:
    return PyCompose.from_json(json.dumps(yaml.safe_load(text)))  # its own YAML knows no merge keys


def test_it_keeps_to_the_specification() -> None:
    assert sorted(parsed(TEXT).service_names()) == sorted(SERVICES)
    with pytest.raises(ValueError, match="start_perio"):
        parsed(TEXT.replace("start_period", "start_perio"))


def test_every_service_says_how_it_is_and_the_one_that_ends_is_waited_for() -> None:
    lasting = {name: service for name, service in SERVICES.items() if name != "migrate"}

    assert all(service["healthcheck"]["test"][0] == "CMD" for service in lasting.values())
    waited_for = {
        (other, how["condition"])
        for service in SERVICES.values()
        for other, how in service.get("depends_on", {}).items()
    }
    assert waited_for == {
        ("migrate", "service_completed_successfully"),
        *((name, "service_healthy") for name in ("postgres", "redis", "s3", "mail")),
    }


def test_images_are_of_a_version_and_ports_are_open_to_this_machine_only() -> None:
    images = [service["image"] for service in SERVICES.values() if "build" not in service]

    assert all(re.search(r":v?\d", image) for image in images)
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", []))


@pytest.mark.parametrize("name", OF_PORTICO)
def test_the_settings_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        assert variable.lower() in Settings.model_fields
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value))

    settings = Settings(_env_file=None)

    assert settings.public_url == "http://localhost:8000"
    assert not settings.uses_sqlite
