"""Which bytes are about to be deleted, and which files are exports."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("blobs", sa.Column("doomed_until", sa.BigInteger(), nullable=True))
    op.add_column("files", sa.Column("is_export", sa.Boolean(), server_default=sa.false(), nullable=False))
    _mark_exports()


def _mark_exports() -> None:
    """Those whose tasks are still remembered."""
    connection = op.get_bind()
    results = connection.execute(
        sa.text("SELECT result FROM tasks WHERE kind = 'export_account' AND result IS NOT NULL")
    ).scalars()
    mark = sa.text("UPDATE files SET is_export = true WHERE id = :file_id")
    for result in results.all():
        connection.execute(mark, {"file_id": json.loads(result)["file_id"]})
