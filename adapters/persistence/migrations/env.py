"""Alembic's entry: runs the migrations on the connection that `adapters.persistence.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

import adapters.persistence.rows  # noqa: F401 - declares the tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
