"""Thumbnails, which are bytes like any other."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "thumbnails",
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("fits", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["source"], ["blobs.sha256"]),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"]),
        sa.PrimaryKeyConstraint("source", "fits"),
    )
    op.create_index("ix_thumbnails_sha256", "thumbnails", ["sha256"])
