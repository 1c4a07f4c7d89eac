"""Which bytes are about to be deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("blobs", sa.Column("doomed_until", sa.BigInteger(), nullable=True))
