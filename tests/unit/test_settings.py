"""The settings, and what is said of wrong ones."""

from pathlib import Path

import pytest

from entrypoints.settings import Settings, WrongSettings, read_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any setting, in a folder without `.env`."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_nothing_needs_to_be_set() -> None:
    settings = read_settings()

    assert settings.uses_sqlite
    assert settings.migrates_itself
    assert settings.database == "sqlite:///var/portico.db"


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "SECRET_KEY",
            "short-and-secret",
            "SECRET_KEY: must be 32 bytes or longer; make one with: openssl rand -hex 32",
        ),
        ("BACKEND_CORS_ORIGINS", "x", 'BACKEND_CORS_ORIGINS: must be a list written as JSON, such as ["a", "b"]'),
        ("PUBLIC_URL", "example.org", "PUBLIC_URL: must be an address that starts with http:// or https://"),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL: must start with postgresql:// or sqlite:///"),
        ("MAIL_BACKEND", "pigeon", "MAIL_BACKEND: input should be 'console', 'file' or 'smtp'"),
        ("ALGORITHM", "ES256", "JWT_PRIVATE_KEY_FILE: is missing; ES256 needs a private key in PEM format"),
        ("API_V1_STR", "api", "API_V1_STR: must start with a slash and not end with one, such as /api/v1"),
    ],
)
def test_a_wrong_one_is_told_in_a_line_that_never_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(WrongSettings) as wrong:
        read_settings()

    assert wrong.value.mistakes == [line]
    assert "short-and-secret" not in str(wrong.value)


def test_production_names_everything_it_wants() -> None:
    with pytest.raises(ValueError, match="SECRET_KEY") as refused:
        Settings(_env_file=None, environment="production", backend_cors_origins=["*"])

    for name in ("SECRET_KEY", "BACKEND_CORS_ORIGINS", "MAIL_BACKEND"):
        assert f"{name}: must" in str(refused.value)


def test_a_file_in_the_working_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('PROJECT_NAME=Arcade\nBACKEND_CORS_ORIGINS=["https://arcade.example"]\n')

    settings = read_settings()

    assert (settings.project_name, settings.backend_cors_origins) == ("Arcade", ["https://arcade.example"])
