"""The composition root: every part can be built, whatever the settings."""

from pathlib import Path
from typing import Any

import pytest

from application.reactions import REACTIONS
from entrypoints.container import Container
from entrypoints.settings import Settings

SECRET = "s" * 32
PRODUCTION = {"environment": "production", "secret_key": SECRET, "mail_backend": "smtp"}


def container(tmp_path: Path, **settings: Any) -> Any:
    return Container(settings=Settings(_env_file=None, data_dir=tmp_path, **settings))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"environment": "test", "mail_backend": "file", "rate_limits_enabled": False},
        {"database_url": "postgresql://localhost/portico", "redis_url": "redis://localhost:6379/0"},
        {"external_api_url": "https://partner.example"},
        PRODUCTION,
        {**PRODUCTION, "storage_backend": "s3", "s3_bucket": "portico-files"},
        {**PRODUCTION, "mail_backend": "file", "database_url": "sqlite:///portico.db"},
    ],
)
async def test_every_provider_builds_in_every_environment(tmp_path: Path, settings: dict[str, Any]) -> None:
    parts = container(tmp_path, **settings)

    for name, provider in parts.providers.items():
        assert provider() is not None or name in ("tracing", "metrics_folder"), name  # which nobody asked for


def test_every_reaction_and_every_schedule_has_a_handler(tmp_path: Path) -> None:
    parts = container(tmp_path)
    handlers = parts.job_handlers()

    assert {kind for kinds in REACTIONS.values() for kind in kinds} <= handlers.keys()
    assert parts.schedules().keys() <= handlers.keys()


def test_two_containers_share_nothing(tmp_path: Path) -> None:
    one = container(tmp_path / "one", project_name="One")
    two = container(tmp_path / "two", project_name="Two")

    assert one.settings().project_name == "One"
    assert two.settings().project_name == "Two"
    assert one.secret_key() != two.secret_key()
    for name in ("database", "metrics", "sign_in", "throttle"):
        assert getattr(one, name)() is getattr(one, name)()
        assert getattr(one, name)() is not getattr(two, name)()


def test_a_generated_secret_is_kept_and_closed_to_others(tmp_path: Path) -> None:
    first = container(tmp_path).secret_key()

    assert container(tmp_path).secret_key() == first
    assert len(first) >= 32
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
