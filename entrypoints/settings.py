"""Every setting there is. The only place that reads one from the environment."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, EmailStr, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from entrypoints import VERSION, addresses

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", text):
        raise ValueError("must be the name of a bucket, such as portico-files")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,100}", text):
        raise ValueError("must be 1 to 100 characters in one line, without control characters")
    return text


def _region(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", text):
        raise ValueError("must be the name of a region, such as eu-central-1: letters, digits and hyphens")
    return text


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < 32:
        raise ValueError("must be 32 bytes or longer; make one with: openssl rand -hex 32")
    return secret


def _list(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('must be a list written as JSON, such as ["a", "b"]') from None


AS_JSON = (NoDecode, BeforeValidator(_list))
"""How a list is read, so that one that isn't JSON is a mistake like any other."""
Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
Origin = Annotated[str, AfterValidator(addresses.origin)]
Proxy = Annotated[str, AfterValidator(addresses.proxy)]
WebAddress = Annotated[str, AfterValidator(addresses.web_address)]
Name = Annotated[str, AfterValidator(_name)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """Read from the environment, else from `.env` in the working directory. The README has the table."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000

    environment: Literal["development", "test", "production"] = "development"
    project_name: Name = "Portico"
    version: str = VERSION
    api_v1_str: Annotated[str, AfterValidator(addresses.api_path)] = "/api/v1"
    data_dir: Path = Path("./var")
    database_url: Annotated[str, AfterValidator(addresses.database_url)] | None = None
    auto_migrate: bool | None = None

    secret_key: Secret | None = None
    secret_key_previous: Annotated[list[Secret], *AS_JSON] = []
    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA"] = "HS256"
    jwt_private_key_file: Path | None = None
    access_token_expire_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    refresh_token_expire_days: Annotated[int, Field(ge=1, le=3650)] = 30
    bcrypt_rounds: Annotated[int, Field(ge=4, le=20)] = 12

    backend_cors_origins: Annotated[list[Origin], *AS_JSON] = ["http://localhost:3000"]
    public_url: WebAddress = "http://localhost:8000"
    registration_open: bool = True
    rate_limits_enabled: bool = True
    trusted_proxies: Annotated[list[Proxy], *AS_JSON] = []
    redis_url: Annotated[str, AfterValidator(addresses.redis_url)] | None = None

    mail_backend: Literal["console", "file", "smtp"] = "console"
    smtp_host: str = "localhost"
    smtp_port: Port = 587
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    emails_from_email: EmailStr = "noreply@example.com"
    emails_from_name: Name | None = None

    external_api_url: WebAddress | None = None
    external_api_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10
    external_api_concurrency: Annotated[int, Field(ge=1, le=1000)] = 10
    storage_backend: Literal["local", "s3"] = "local"
    s3_endpoint_url: WebAddress | None = None
    s3_bucket: Annotated[str, AfterValidator(_bucket)] | None = None
    s3_region: Annotated[str, AfterValidator(_region)] = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None

    max_json_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    max_upload_bytes: Annotated[int, Field(ge=1, le=2**63 - 1)] = 1024**3
    max_image_bytes: Annotated[int, Field(ge=1, le=100 * 1024**2)] = 5 * 1024**2
    storage_quota_bytes: Annotated[int, Field(ge=0, le=2**63 - 1)] = 10 * 1024**3
    otel_exporter_otlp_endpoint: WebAddress | None = None
    log_format: Literal["console", "json"] | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        mistakes = []
        if self.algorithm != "HS256" and self.jwt_private_key_file is None:
            mistakes.append(f"JWT_PRIVATE_KEY_FILE: is missing; {self.algorithm} needs a private key in PEM format")
        if self.storage_backend == "s3":
            mistakes += self._missing_for_s3()
        if self.environment == "production":
            if self.secret_key is None:
                mistakes.append("SECRET_KEY: must be set in production; make one with: openssl rand -hex 32")
            if "*" in self.backend_cors_origins:
                mistakes.append("BACKEND_CORS_ORIGINS: must name each origin in production; * is not allowed")
            if self.mail_backend == "console":
                mistakes.append("MAIL_BACKEND: must be smtp or file in production; console would print the mail")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _missing_for_s3(self) -> list[str]:
        mistakes = []
        if self.s3_bucket is None:
            mistakes.append("S3_BUCKET: is missing; STORAGE_BACKEND=s3 needs the name of a bucket")
        if self.s3_access_key_id is None and self.s3_secret_access_key is not None:
            mistakes.append("S3_ACCESS_KEY_ID: is missing; S3_SECRET_ACCESS_KEY needs it")
        if self.s3_access_key_id is not None and self.s3_secret_access_key is None:
            mistakes.append("S3_SECRET_ACCESS_KEY: is missing; S3_ACCESS_KEY_ID needs it")
        return mistakes

    @property
    def uses_sqlite(self) -> bool:
        return self.database_url is None or self.database_url.startswith("sqlite")

    @property
    def is_traced(self) -> bool:
        return self.otel_exporter_otlp_endpoint is not None

    @property
    def database(self) -> str:
        """The URL of the database that is used."""
        return self.database_url or f"sqlite:///{self.data_dir / 'portico.db'}"

    @property
    def migrates_itself(self) -> bool:
        return self.uses_sqlite if self.auto_migrate is None else self.auto_migrate


class WrongSettings(Exception):
    """The environment doesn't hold. `mistakes` has a line for each: the name, what is wrong and what would be right."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def read_settings() -> Settings:
    """The settings of this process. Raises `WrongSettings`; no value is in its lines, since it may be a secret."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = {str(mistake["loc"][0]) for mistake in error.errors() if mistake["loc"]}
        raise WrongSettings(_lines(error) + _unfitting(wrong)) from None


def _unfitting(wrong: set[str]) -> list[str]:
    """What doesn't fit together among all others, which is looked at only where each setting holds by itself."""
    if not wrong:
        return []
    try:
        Settings(**{name: Settings.model_fields[name].get_default(call_default_factory=True) for name in wrong})
    except ValidationError as error:
        return [line for line in _lines(error) if line.partition(":")[0].lower() not in wrong]
    return []


def _lines(error: ValidationError) -> list[str]:
    mistakes = error.errors(include_input=False, include_url=False)
    return [line for mistake in mistakes for line in _line(mistake).splitlines()]


def _line(mistake: "ErrorDetails") -> str:
    message = mistake["msg"].removeprefix("Value error, ")
    name = ".".join(str(part) for part in mistake["loc"][:1]).upper()
    return f"{name}: {message[0].lower()}{message[1:]}" if name else message
