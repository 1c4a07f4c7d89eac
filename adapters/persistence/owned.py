"""Rows that belong to a user: added while there is one, and removed in batches once there isn't."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Delete, Insert, bindparam, delete, insert, select
from sqlmodel import SQLModel, col

from adapters.persistence.rows import UserRow


def insert_owned(row: type[SQLModel], columns: Sequence[str]) -> Insert:
    """One statement that adds the row and holds its owner: whoever deletes the account waits, or was first and nothing
    is added."""
    table = row.__table__  # type: ignore[attr-defined]
    values = select(*(bindparam(name, type_=table.c[name].type) for name in columns))
    held = values.where(col(UserRow.id) == bindparam("owner_id")).with_for_update(read=True, key_share=True)
    return insert(row).from_select([*columns], held)


def delete_owned(row: type[SQLModel], key: Any) -> Delete:
    """Removes up to `limit` rows of `owner_id`. `key` is the column that they are known by."""
    owner_id = row.__table__.c.owner_id  # type: ignore[attr-defined]
    return delete(row).where(key.in_(select(key).where(owner_id == bindparam("owner_id")).limit(bindparam("limit"))))
