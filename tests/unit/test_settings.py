"""The settings, and what is said of wrong ones."""

from pathlib import Path

import pytest
from redis.asyncio import ConnectionPool

from entrypoints.settings import Settings, WrongSettings, read_settings

API_PATH = "must start with a slash and not end with one, such as /api/v1"
POSTGRES = (
    "must look like postgresql://user:password@host:5432/database, "
    "with % and two hex digits for special characters in the password"
)
SQLITE = "must name a file, such as sqlite:////var/lib/portico/portico.db, without options after a ?"
REDIS = (
    "must look like redis://user:password@host:6379/0, rediss://user:password@host:6379/0 for TLS, "
    "or unix:///path/to/redis.sock?db=0, "
    "with % and two hex digits for special characters in the password"
)
NAME = "must be 1 to 100 characters in one line, without control characters"
REGION = "must be the name of a region, such as eu-central-1: letters, digits and hyphens"
PLAIN_ADDRESS = "must be an address without spaces, ? and #: paths are added to it"


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
        *(
            ("DATABASE_URL", url, f"DATABASE_URL: {POSTGRES}")
            for url in (
                "postgresql://",
                "postgres://localhost",
                "postgresql://localhost/",
                "postgresql:///",
                "postgresql://portico:short-and-secret@localhost",
                "postgresql://portico:short-and-secret#1@localhost/portico",
                "postgresql://portico:short-and-secret/1@localhost/portico",
                "postgresql://portico:short-and-secret@1@localhost/portico",
                "postgresql://portico@localhost:port/portico",
                "postgresql://portico@localhost:70000/portico",
                "postgresql://portico@[::1/portico",
                "postgresql://local host/portico",
                "postgresql://localhost/portico/more",
            )
        ),
        *(
            ("DATABASE_URL", url, f"DATABASE_URL: {SQLITE}")
            for url in ("sqlite:///", "sqlite:////", "sqlite:///:memory:", "sqlite:////x.db?mode=rwc")
        ),
        ("PUBLIC_URL", "https://:8000", "PUBLIC_URL: must name a host, and a port from 1 to 65535 if any"),
        ("EXTERNAL_API_URL", "ftp://x", "EXTERNAL_API_URL: must be an address that starts with http:// or https://"),
        ("EXTERNAL_API_URL", "http://x?a=b", f"EXTERNAL_API_URL: {PLAIN_ADDRESS}"),
        ("EXTERNAL_API_URL", "http://x:70000", "EXTERNAL_API_URL: must name a host, and a port from 1 to 65535 if any"),
        ("EXTERNAL_API_URL", "http://[x", "EXTERNAL_API_URL: must name a host, and a port from 1 to 65535 if any"),
        (
            "EXTERNAL_API_TIMEOUT_SECONDS",
            "0",
            "EXTERNAL_API_TIMEOUT_SECONDS: input should be greater than 0",
        ),
        (
            "EXTERNAL_API_CONCURRENCY",
            "0",
            "EXTERNAL_API_CONCURRENCY: input should be greater than or equal to 1",
        ),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL: must start with postgresql:// or sqlite:///"),
        ("MAIL_BACKEND", "pigeon", "MAIL_BACKEND: input should be 'console', 'file' or 'smtp'"),
        ("ALGORITHM", "ES256", "JWT_PRIVATE_KEY_FILE: is missing; ES256 needs a private key in PEM format"),
        ("API_V1_STR", "api", f"API_V1_STR: {API_PATH}"),
        ("API_V1_STR", "/api/", f"API_V1_STR: {API_PATH}"),
        ("API_V1_STR", "/api/{version}", f"API_V1_STR: {API_PATH}"),
        ("API_V1_STR", "/api?v=1", f"API_V1_STR: {API_PATH}"),
        (
            "SECRET_KEY_PREVIOUS",
            '["short-and-secret"]',
            "SECRET_KEY_PREVIOUS: must be 32 bytes or longer; make one with: openssl rand -hex 32",
        ),
        (
            "SECRET_KEY_PREVIOUS",
            "short-and-secret",
            'SECRET_KEY_PREVIOUS: must be a list written as JSON, such as ["a", "b"]',
        ),
        ("SECRET_KEY_PREVIOUS", '{"short-and-secret": 1}', "SECRET_KEY_PREVIOUS: input should be a valid list"),
        (
            "BACKEND_CORS_ORIGINS",
            '["https://a.example/path"]',
            "BACKEND_CORS_ORIGINS: must be an origin such as https://app.example.com, without a path, or *",
        ),
        ("PUBLIC_URL", "https://a.example?x", f"PUBLIC_URL: {PLAIN_ADDRESS}"),
        ("PUBLIC_URL", "https://a.example/#x", f"PUBLIC_URL: {PLAIN_ADDRESS}"),
        ("PUBLIC_URL", "https://a.example/\r\nBcc: b@example.org", f"PUBLIC_URL: {PLAIN_ADDRESS}"),
        (
            "TRUSTED_PROXIES",
            '["short-and-secret"]',
            "TRUSTED_PROXIES: must be addresses or networks, such as 10.0.0.7 or 10.0.0.0/8",
        ),
        *(
            ("REDIS_URL", url, f"REDIS_URL: {REDIS}")
            for url in (
                "http://:short-and-secret@x",
                "localhost:6379",
                "redis://",
                "redis://localhost:63x79",
                "redis://localhost:70000",
                "redis://localhost:0",
                "redis://[::1",
                "redis://local host",
                "redis://localhost/one",
                "redis://localhost/0/1",
                "redis://localhost?db=abc",
                "redis://localhost?db",
                "redis://localhost?database=1",
                "redis://localhost?ssl_cert_reqs=none",
                "rediss://localhost?ssl_cert_reqs=never",
                "redis://:short-and-secret#1@localhost",
                "redis://:short-and-secret/1@localhost",
                "unix://",
                "unix://run/redis.sock",
                "unix:///run/redis.sock?db=abc",
            )
        ),
        (
            "DATABASE_URL",
            "mysql://ada:short-and-secret@x/y",
            "DATABASE_URL: must start with postgresql:// or sqlite:///",
        ),
        ("ALGORITHM", "none", "ALGORITHM: input should be 'HS256', 'RS256', 'ES256' or 'EdDSA'"),
        ("ENVIRONMENT", "prod", "ENVIRONMENT: input should be 'development', 'test' or 'production'"),
        ("SMTP_TLS", "ssl", "SMTP_TLS: input should be 'starttls', 'tls' or 'none'"),
        ("SMTP_PORT", "0", "SMTP_PORT: input should be greater than or equal to 1"),
        ("BCRYPT_ROUNDS", "3", "BCRYPT_ROUNDS: input should be greater than or equal to 4"),
        (
            "ACCESS_TOKEN_EXPIRE_MINUTES",
            "0",
            "ACCESS_TOKEN_EXPIRE_MINUTES: input should be greater than or equal to 1",
        ),
        (
            "EMAILS_FROM_EMAIL",
            "short-and-secret",
            "EMAILS_FROM_EMAIL: value is not a valid email address: An email address must have an @-sign.",
        ),
        (
            "EMAILS_FROM_NAME",
            "Ada\r\nBcc: b@example.org",
            f"EMAILS_FROM_NAME: {NAME}",
        ),
        ("PROJECT_NAME", "Ada\x1b[31m", f"PROJECT_NAME: {NAME}"),
        ("PROJECT_NAME", "Ada\n", f"PROJECT_NAME: {NAME}"),
        ("PROJECT_NAME", "x" * 101, f"PROJECT_NAME: {NAME}"),
        ("STORAGE_BACKEND", "tape", "STORAGE_BACKEND: input should be 'local' or 's3'"),
        ("STORAGE_BACKEND", "s3", "S3_BUCKET: is missing; STORAGE_BACKEND=s3 needs the name of a bucket"),
        ("S3_BUCKET", "a bucket", "S3_BUCKET: must be the name of a bucket, such as portico-files"),
        ("S3_ENDPOINT_URL", "minio:9000", "S3_ENDPOINT_URL: must be an address that starts with http:// or https://"),
        ("S3_REGION", "the moon", f"S3_REGION: {REGION}"),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL: input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
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


def test_a_key_for_s3_wants_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, other in [
        ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"),
        ("S3_SECRET_ACCESS_KEY", "S3_ACCESS_KEY_ID"),
    ]:
        with monkeypatch.context() as environment:
            environment.setenv("STORAGE_BACKEND", "s3")
            environment.setenv("S3_BUCKET", "portico-files")
            read_settings()
            environment.setenv(name, "short-and-secret")
            with pytest.raises(WrongSettings) as wrong:
                read_settings()
            assert wrong.value.mistakes == [f"{other}: is missing; {name} needs it"]


def test_production_names_everything_it_wants() -> None:
    with pytest.raises(ValueError, match="SECRET_KEY") as refused:
        Settings(_env_file=None, environment="production", backend_cors_origins=["*"])

    for name in ("SECRET_KEY", "BACKEND_CORS_ORIGINS", "MAIL_BACKEND"):
        assert f"{name}: must" in str(refused.value)


def test_all_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ENVIRONMENT": "production",
        "PORT": "x",
        "MAIL_BACKEND": "pigeon",
        "ALGORITHM": "ES256",
    }.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(WrongSettings) as wrong:
        read_settings()

    assert [mistake.partition(":")[0] for mistake in wrong.value.mistakes] == [
        "PORT",
        "MAIL_BACKEND",
        "JWT_PRIVATE_KEY_FILE",
        "SECRET_KEY",
    ]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://App.example.com", "https://app.example.com"),
        ("https://app.example.com:443/", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("http://[::80]:80", "http://[::80]"),
    ],
)
def test_an_origin_is_what_a_browser_sends_however_it_is_written(written: str, sent: str) -> None:
    assert Settings(_env_file=None, backend_cors_origins=[written]).backend_cors_origins == [sent]


def test_a_file_in_the_working_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('PROJECT_NAME=Arcade\nBACKEND_CORS_ORIGINS=["https://arcade.example"]\n')

    settings = read_settings()

    assert (settings.project_name, settings.backend_cors_origins) == ("Arcade", ["https://arcade.example"])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/portico",
        "postgresql://portico:p%40ss%2Fword@db.example.com:5432/portico?sslmode=require",
        "postgresql://postgres@/portico?host=/run/postgresql",
        "postgresql:///portico?host=/run/postgresql&port=5433",
        "postgresql://localhost?dbname=portico",
        "postgresql://a:5432,b:5433/portico?target_session_attrs=read-write",
        "postgresql://[::1]:5432/portico",
        "sqlite:///portico.db",
        "sqlite:////var/lib/portico.db",
    ],
)
def test_a_database_that_is_named_rightly_is_taken_as_it_is(url: str) -> None:
    assert Settings(_env_file=None, database_url=url).database == url
    assert Settings(_env_file=None, database_url=url.replace("postgresql:", "postgres:", 1)).database == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost/",
        "redis://:p%40ss%2Fword@redis.example.com:6379/0",
        "redis://portico:password@[::1]:6379/15?health_check_interval=30&client_name=portico",
        "rediss://localhost:6380?db=2&ssl_cert_reqs=none&ssl_check_hostname=false",
        "rediss://localhost?ssl_ca_certs=/etc/ssl/redis.pem",
        "unix:///run/redis.sock",
        "unix://portico:password@/run/redis.sock?db=3",
    ],
)
def test_a_redis_that_is_named_rightly_is_taken_and_its_driver_takes_it_too(url: str) -> None:
    settings = Settings(_env_file=None, redis_url=url)

    assert settings.redis_url == url
    ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
