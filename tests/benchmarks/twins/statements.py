"""The SQL of both hand-written twins; the placeholders are the driver's own."""

from typing import Final

COLUMNS: Final = (
    "users.id, users.email, users.full_name, users.is_active, users.is_verified, users.is_superuser,"
    " users.created_at, users.updated_at, users.last_active, sessions.expires_at"
)
JOINED: Final = f"SELECT {COLUMNS} FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.id = "

ITEM: Final = "SELECT id, title, description, owner_id, version, created_at, updated_at FROM items WHERE "
BY_KEY: Final = f"{ITEM}id = "
BY_OWNER: Final = "owner_id = {} ORDER BY created_at DESC, id DESC LIMIT {} OFFSET {}"
COUNT: Final = "SELECT count(*) FROM items WHERE owner_id = "
ITEM_COLUMNS: Final = ("title", "description", "owner_id", "version", "created_at", "updated_at", "search")
ADD_ITEM: Final = f"INSERT INTO items ({', '.join(ITEM_COLUMNS)}) VALUES ({{}}) RETURNING id"
ADD_EVENT: Final = "INSERT INTO twin_events (kind, item_id, owner_id, created_at) VALUES ({})"
