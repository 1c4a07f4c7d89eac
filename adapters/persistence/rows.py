"""The tables. Rows stay inside this package; what leaves it are the domain's own entities."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    String,
    Text,
    false,
    text,
)
from sqlmodel import Field, SQLModel

from adapters.persistence.columns import BY_CODE_POINT, BigId, UtcDateTime, references_blob, references_user
from application.ports.jobs import RUN_TASK


class UserRow(SQLModel, table=True):
    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}  # an id is never given twice: an old token must not fit a new user

    id: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=True))
    email: str = Field(sa_column=Column(String(254), nullable=False, unique=True))
    full_name: str | None = Field(sa_column=Column(Text))
    password_hash: str = Field(sa_column=Column(Text, nullable=False))
    is_active: bool
    is_verified: bool
    is_superuser: bool
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    updated_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    last_active: datetime | None = Field(sa_column=Column(UtcDateTime))
    search: str = Field(sa_column=Column(Text, nullable=False))
    """Address and name as they are searched: see `domain.search.folded`."""


class SessionRow(SQLModel, table=True):
    __tablename__ = "sessions"

    id: str = Field(sa_column=Column(String(36), primary_key=True))
    user_id: int = Field(sa_column=references_user(index=True))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    last_used_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    expires_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    user_agent: str | None = Field(sa_column=Column(Text))
    ip: str | None = Field(sa_column=Column(Text))


class RefreshTokenRow(SQLModel, table=True):
    __tablename__ = "refresh_tokens"

    token_hash: str = Field(sa_column=Column(String(64), primary_key=True))
    session_id: str = Field(
        sa_column=Column(String(36), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True)
    )
    expires_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    spent_at: datetime | None = Field(sa_column=Column(UtcDateTime))


class MailedTokenRow(SQLModel, table=True):
    __tablename__ = "mailed_tokens"
    __table_args__ = (Index("ix_mailed_tokens_user_id_purpose", "user_id", "purpose"),)

    token_hash: str = Field(sa_column=Column(String(64), primary_key=True))
    user_id: int = Field(sa_column=references_user())
    purpose: str = Field(sa_column=Column(String(32), nullable=False))
    email: str = Field(sa_column=Column(String(254), nullable=False))
    expires_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    dead: bool


class ItemRow(SQLModel, table=True):
    """An owner is no foreign key: deleting one with a million items must not be one endless transaction.

    The items of a deleted user are removed afterwards, in batches; `ADD` in `items.py` sees to it that none is added.
    """

    __tablename__ = "items"
    __table_args__ = (  # each serves both directions
        Index("ix_items_owner_id_created_at_id", "owner_id", "created_at", "id"),
        Index("ix_items_owner_id_updated_at_id", "owner_id", "updated_at", "id"),
        Index("ix_items_owner_id_title_id", "owner_id", "title", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=True))
    title: str = Field(sa_column=Column(BY_CODE_POINT, nullable=False))
    description: str | None = Field(sa_column=Column(Text))
    owner_id: int = Field(sa_column=Column(BigId, nullable=False))
    version: int
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    updated_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    search: str = Field(sa_column=Column(Text, nullable=False))
    """Title and description as they are searched: see `domain.search.folded`."""


class KeptAnswerRow(SQLModel, table=True):
    """What was answered under an idempotency key. Those of a deleted user are swept when they expire."""

    __tablename__ = "answers"

    user_id: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=False))
    key: str = Field(sa_column=Column(String(255), primary_key=True))
    fingerprint: str = Field(sa_column=Column(String(64), nullable=False))
    answer: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))


class ChangeRow(SQLModel, table=True):
    """What a user is told of. Those of a deleted user are removed afterwards, in batches."""

    __tablename__ = "changes"
    __table_args__ = (
        Index("ix_changes_user_id_id", "user_id", "id"),
        {"sqlite_autoincrement": True},  # an id is never given twice, though the last one was swept
    )

    id: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=True))
    user_id: int = Field(sa_column=Column(BigId, nullable=False))
    channel: str = Field(sa_column=Column(String(32), nullable=False))
    event: str = Field(sa_column=Column(String(32), nullable=False))
    data: str = Field(sa_column=Column(Text, nullable=False))
    """JSON, as the API showed it."""
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class BlobRow(SQLModel, table=True):
    """Bytes that the store has, is about to get, or is about to lose: whoever wants to know which locks the row.

    `doomed_until` is set where somebody has, or had, the leave to delete them, and nobody has claimed them since: when
    that ends or ended, in milliseconds since the epoch, by the database's clock.
    """

    __tablename__ = "blobs"

    sha256: str = Field(sa_column=Column(String(64), primary_key=True))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    doomed_until: int | None = Field(sa_column=Column(BigInteger))


class BlobClaimRow(SQLModel, table=True):
    __tablename__ = "blob_claims"

    id: str = Field(sa_column=Column(String(32), primary_key=True))
    sha256: str = Field(sa_column=references_blob(index=True))
    claimed_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class FileRow(SQLModel, table=True):
    """An owner is no foreign key, for the reason that `ItemRow` gives."""

    __tablename__ = "files"
    __table_args__ = (
        Index("ix_files_owner_id_id_size", "owner_id", "id", "size"),  # with the size: the sum needs no row
        Index("ix_files_owner_id_filename_id", "owner_id", "filename", "id"),
        {"sqlite_autoincrement": True},  # an id is never given twice: an old link must not fit a new file
    )

    id: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=True))
    filename: str = Field(sa_column=Column(String(255), nullable=False))
    content_type: str = Field(sa_column=Column(String(127), nullable=False))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    sha256: str = Field(sa_column=references_blob(index=True))
    owner_id: int = Field(sa_column=Column(BigId, nullable=False))
    image_width: int | None
    image_height: int | None
    image_format: str | None = Field(sa_column=Column(String(16)))
    is_export: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class ResumableUploadRow(SQLModel, table=True):
    """An owner is no foreign key, for the reason that `ItemRow` gives."""

    __tablename__ = "resumable_uploads"

    id: str = Field(sa_column=Column(String(32), primary_key=True))
    owner_id: int = Field(sa_column=Column(BigId, nullable=False, index=True))
    length: int = Field(sa_column=Column(BigInteger, nullable=False))
    filename: str = Field(sa_column=Column(String(255), nullable=False))
    content_type: str = Field(sa_column=Column(String(127), nullable=False))
    metadata_: str = Field(sa_column=Column("metadata", Text, nullable=False))
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    offset: int = Field(sa_column=Column(BigInteger, nullable=False))
    file_id: int | None = Field(sa_column=Column(BigId))


class UploadPartRow(SQLModel, table=True):
    __tablename__ = "upload_parts"

    upload_id: str = Field(
        sa_column=Column(String(32), ForeignKey("resumable_uploads.id", ondelete="CASCADE"), primary_key=True)
    )
    offset: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    key: str = Field(sa_column=Column(String(32), nullable=False))
    sha256: str = Field(sa_column=Column(String(64), nullable=False))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))


class ThumbnailRow(SQLModel, table=True):
    """It refers to its bytes, and goes with those that it was made of."""

    __tablename__ = "thumbnails"

    source: str = Field(sa_column=references_blob(primary_key=True))
    fits: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    sha256: str = Field(sa_column=references_blob(index=True))


class TaskRow(SQLModel, table=True):
    """An owner is no foreign key: the tasks of a deleted user are removed afterwards, in batches."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_owner_id_number", "owner_id", "number"),
        {"sqlite_autoincrement": True},
    )

    number: int = Field(sa_column=Column(BigId, primary_key=True, autoincrement=True))
    id: str = Field(sa_column=Column(String(36), nullable=False, unique=True))
    owner_id: int = Field(sa_column=Column(BigId, nullable=False))
    kind: str = Field(sa_column=Column(String(64), nullable=False))
    params: str = Field(sa_column=Column(Text, nullable=False))
    status: str = Field(sa_column=Column(String(16), nullable=False))
    progress: int
    message: str | None = Field(sa_column=Column(Text))
    result: str | None = Field(sa_column=Column(Text))
    error: str | None = Field(sa_column=Column(String(64)))
    attempts: int
    created_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    started_at: datetime | None = Field(sa_column=Column(UtcDateTime))
    finished_at: datetime | None = Field(sa_column=Column(UtcDateTime, index=True))


class ImportRow(SQLModel, table=True):
    """How far a file has been imported. It goes with the file."""

    __tablename__ = "imports"

    file_id: int = Field(
        sa_column=Column(BigId, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    )
    position: int = Field(sa_column=Column(BigInteger, nullable=False))
    line: int = Field(sa_column=Column(BigInteger, nullable=False))
    created: int = Field(sa_column=Column(BigInteger, nullable=False))
    rejected: int = Field(sa_column=Column(BigInteger, nullable=False))
    errors: str = Field(sa_column=Column(Text, nullable=False))
    finished: bool


LASTS = f"kind = '{RUN_TASK}'"


class JobRow(SQLModel, table=True):
    """Background work. Times are milliseconds since the epoch, by the database's clock.

    `due_at` alone says when the job may be claimed: when it was put in or put back, the time to do it; while a worker
    has it, the end of the lease; null once it is dead.
    """

    __tablename__ = "jobs"
    __table_args__ = (  # what may last is looked for apart from the rest, however much of that there is
        Index("ix_jobs_due_at_lasting", "due_at", postgresql_where=text(LASTS), sqlite_where=text(LASTS)),
    )

    id: str = Field(sa_column=Column(String(36), primary_key=True))
    kind: str = Field(sa_column=Column(String(64), nullable=False))
    payload: str = Field(sa_column=Column(Text, nullable=False))
    dedupe_key: str | None = Field(sa_column=Column(String(255), unique=True))
    request_id: str | None = Field(sa_column=Column(String(128)))
    traceparent: str | None = Field(sa_column=Column(String(55)))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    due_at: int | None = Field(sa_column=Column(BigInteger, index=True))
    owner: str | None = Field(sa_column=Column(String(128)))
    attempt: int
    error: str | None = Field(sa_column=Column(Text))
