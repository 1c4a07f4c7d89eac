"""Which adapter plugs into a port: a setting picks it. What the default doesn't use is loaded only where it is used."""

import hmac
from datetime import timedelta
from typing import Final

from adapters.clock import SystemClock
from adapters.partner.http import HttpPartner
from adapters.partner.unconfigured import NoPartner
from adapters.persistence.database import Database
from adapters.realtime.memory import MemoryBroadcaster
from adapters.security.jwt_tokens import JwtAccessTokens
from adapters.security.key_file import generated_secret
from adapters.security.signing_keys import SigningKeys
from adapters.throttle.moving_window import MovingWindowThrottle, NoThrottle
from application.ports.mail import Mailer
from application.ports.realtime import Broadcaster
from application.ports.storage import BlobStore
from entrypoints.settings import Settings

AUDIENCE: Final = "portico"


def database(settings: Settings) -> Database:
    if settings.uses_sqlite:
        from adapters.persistence.sqlite import SqliteDatabase
        from adapters.persistence.sqlite_file import path_of

        return SqliteDatabase(path_of(settings.database))
    from adapters.persistence.postgres import PostgresDatabase

    return PostgresDatabase(settings.database)


def secret_key(settings: Settings) -> bytes:
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    return generated_secret(settings.data_dir / "secret")


def previous_keys(settings: Settings) -> list[bytes]:
    return [previous.get_secret_value().encode() for previous in settings.secret_key_previous]


def _signing_keys(settings: Settings, secret_key: bytes) -> SigningKeys:
    if settings.algorithm == "HS256":
        return SigningKeys.from_secrets(secret_key, previous_keys(settings))
    assert settings.jwt_private_key_file is not None  # the settings see to it
    return SigningKeys.from_pem_file(settings.algorithm, settings.jwt_private_key_file)


def tokens(settings: Settings, secret_key: bytes, clock: SystemClock) -> JwtAccessTokens:
    return JwtAccessTokens(
        _signing_keys(settings, secret_key),
        issuer=settings.public_url,
        audience=AUDIENCE,
        lifetime=timedelta(minutes=settings.access_token_expire_minutes),
        clock=clock,
    )


def throttle(settings: Settings, secret_key: bytes) -> MovingWindowThrottle:
    if not settings.rate_limits_enabled:
        return NoThrottle(secret_key, settings.redis_url)
    return MovingWindowThrottle(secret_key, settings.redis_url)


def mailer(settings: Settings) -> Mailer:
    from adapters.mail.message import MessageWriter

    writer = MessageWriter(
        public_url=settings.public_url,
        project_name=settings.project_name,
        from_email=settings.emails_from_email,
        from_name=settings.emails_from_name or settings.project_name,
    )
    if settings.mail_backend == "file":
        from adapters.mail.file import FileMailer

        return FileMailer(writer, settings.data_dir / "mail")
    if settings.mail_backend == "smtp":
        from adapters.mail.smtp import SmtpMailer

        password = settings.smtp_password
        return SmtpMailer(
            writer,
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_user,
            password.get_secret_value() if password else None,
            settings.smtp_tls,
        )
    from adapters.mail.console import ConsoleMailer

    return ConsoleMailer(writer)


def broadcaster(settings: Settings, secret_key: bytes, process: str) -> Broadcaster:
    if settings.redis_url is not None:
        from adapters.realtime.redis import RedisBroadcaster

        service = hmac.new(secret_key, b"portico realtime 1", "sha256").hexdigest()[:32]
        return RedisBroadcaster(settings.redis_url, service, process)
    if settings.uses_sqlite:
        return MemoryBroadcaster()
    from adapters.realtime.postgres import PostgresBroadcaster

    return PostgresBroadcaster(settings.database, process)


def partner(settings: Settings) -> HttpPartner | NoPartner:
    if settings.external_api_url is None:
        return NoPartner()
    return HttpPartner(
        settings.external_api_url, settings.external_api_timeout_seconds, settings.external_api_concurrency
    )


def blobs(settings: Settings) -> BlobStore:
    if settings.storage_backend == "s3":
        from adapters.storage.s3 import S3BlobStore

        assert settings.s3_bucket is not None  # the settings see to it
        secret = settings.s3_secret_access_key
        return S3BlobStore(
            settings.s3_bucket,
            region=settings.s3_region,
            endpoint_url=settings.s3_endpoint_url,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=secret.get_secret_value() if secret else None,
        )
    from adapters.storage.disk import DiskBlobStore

    return DiskBlobStore(settings.data_dir / "files")
