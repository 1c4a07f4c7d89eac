"""What tells whether each part can be used: for `/health/ready`, and for `portico check`, which asks more."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from adapters.persistence.database import Database
from adapters.persistence.migrations import head, is_newer, is_older
from adapters.throttle.moving_window import MovingWindowThrottle
from application.ports.jobs import JobQueue
from application.ports.mail import Mailer
from application.ports.partner import Partner
from application.ports.storage import BlobStore, StorageFull
from domain.errors import Unavailable
from domain.partner import ExternalApiError, ExternalServiceUnavailable
from entrypoints.health import Check, Note, NotReady
from entrypoints.settings import Settings


def checks_of(
    settings: Settings, database: Database, blobs: BlobStore, queue: JobQueue, throttle: MovingWindowThrottle
) -> Mapping[str, Check]:
    async def schema_is_current() -> None:
        try:
            revision = await database.schema_revision()
        except Unavailable as error:
            raise NotReady(_database_away(settings, error)) from error
        if is_older(revision):  # a newer one leaves what this version knows
            raise NotReady(f"the schema is at {revision or 'nothing'}, not at {head()}: run portico migrate")

    async def queue_answers() -> None:
        try:
            await queue.figures()
        except Unavailable:
            raise NotReady("the job queue is kept in the database, which can't be used yet: see there") from None

    async def storage_takes_bytes() -> None:
        try:
            await blobs.ping()
        except StorageFull:
            raise NotReady("there is no room left") from None
        except Unavailable:
            where = "the bucket S3_BUCKET" if settings.storage_backend == "s3" else "DATA_DIR/files"
            raise NotReady(f"{where} can't be written to; the log says why") from None

    checks: dict[str, Check] = {
        "database": schema_is_current,
        "storage": storage_takes_bytes,
        "jobs": queue_answers,
    }

    async def redis_answers() -> None:
        if not await throttle.redis_answers():
            raise NotReady("Redis does not answer at REDIS_URL")

    if settings.redis_url is not None:
        checks["redis"] = redis_answers
    return checks


def _database_away(settings: Settings, error: Unavailable) -> str:
    """What to look at. Of what the driver says, only the kind of error: its text may hold a name or an address."""
    kind = type(error.__cause__ or error).__name__
    if settings.uses_sqlite:
        return f"can't be used ({kind}): look whether the file in DATA_DIR or DATABASE_URL can be read and written"
    return f"can't be used ({kind}): look whether PostgreSQL runs where DATABASE_URL says, and lets its user in"


async def _partner_answers(partner: Partner) -> None:
    """Raises `NotReady`."""
    try:
        await partner.data()
    except ExternalApiError as error:
        raise NotReady(f"answers with status {error.upstream_status} at EXTERNAL_API_URL/data") from None
    except ExternalServiceUnavailable:
        raise NotReady("gives no JSON at EXTERNAL_API_URL/data: look whether it runs there") from None


def all_checks(
    checks: Mapping[str, Check], settings: Settings, database: Database, mailer: Mailer, partner: Partner
) -> Mapping[str, Check]:
    """As they are asked by hand, before anything runs: a schema that will be brought up to date, or that a newer
    version has brought further, is nothing wrong.

    With the mail server and the partner, without which most of Portico works.
    """

    async def with_a_note(part: str) -> None:
        with suppress(Unavailable):  # else the check itself says so
            revision = await database.schema_revision()
            if is_older(revision) and settings.migrates_itself:
                raise Note("the schema is brought up to date when portico serve starts")
            if is_newer(revision) and part == "database":
                raise Note(f"the schema is of a newer version: {revision}, where this one knows {head()}")
        await checks[part]()

    asked: Mapping[str, Check] = {**checks, **{part: partial(with_a_note, part) for part in ("database", "jobs")}}
    if settings.external_api_url is not None:
        asked = {**asked, "partner": partial(_partner_answers, partner)}
    if settings.mail_backend != "smtp":
        return asked
    from adapters.mail.smtp import SmtpMailer

    assert isinstance(mailer, SmtpMailer)
    return {**asked, "mail": mailer.greet}
