"""Items in the database."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Select, Text, asc, bindparam, delete, desc, func, insert, select, union_all, update
from sqlmodel import col

from adapters.persistence.database import Database, Transaction
from adapters.persistence.owned import delete_owned, insert_owned
from adapters.persistence.pages import at_offset, page_at_offset
from adapters.persistence.rows import ItemRow, UserRow
from adapters.persistence.statements import Row, Statement, has_word
from domain.items import Item, ItemId, ItemNotFound, ItemSort
from domain.pages import Page, PageRequest
from domain.search import folded
from domain.sessions import InvalidAccessToken

WRITTEN: Final = ("title", "description", "owner_id", "version", "created_at", "updated_at")
"""The columns that the entity's fields of the same names are kept in, but for its id."""

TABLE: Final = ItemRow.__table__  # type: ignore[attr-defined]
COLUMNS: Final = tuple(TABLE.c[name] for name in ("id", *WRITTEN))
"""What `item_of` wants, in its order."""

ADD: Final = Statement(insert_owned(ItemRow, [*WRITTEN, "search"]).returning(col(ItemRow.id)))
HOLD_OWNER: Final = Statement(
    select(col(UserRow.id)).where(col(UserRow.id) == bindparam("owner_id")).with_for_update(read=True, key_share=True)
)
ADD_HELD: Final = Statement(
    insert(ItemRow).values({name: bindparam(name) for name in (*WRITTEN, "search")}).returning(col(ItemRow.id))
)
SAVE: Final = Statement(
    update(ItemRow)
    .where(col(ItemRow.id) == bindparam("item_id"))
    .values({name: bindparam(name) for name in ("title", "description", "version", "updated_at", "search")})
)
DELETE: Final = Statement(delete(ItemRow).where(col(ItemRow.id) == bindparam("item_id")))
DELETE_OWNED_BY: Final = Statement(delete_owned(ItemRow, col(ItemRow.id)))
_BY_ID: Final = select(*COLUMNS).where(col(ItemRow.id) == bindparam("item_id"))
BY_ID: Final = Statement(_BY_ID)
LOCK_BY_ID: Final = Statement(_BY_ID.with_for_update())


def item_of(row: Row) -> Item:
    """The item in a row of `COLUMNS`."""
    (id_, title, description, owner_id, version, created_at, updated_at) = row
    return Item(
        id=id_,
        title=title,
        description=description,
        owner_id=owner_id,
        version=version,
        created_at=created_at,
        updated_at=updated_at,
    )


def _values(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in WRITTEN} | {"search": folded(item.title, item.description)}


class SqlItems:
    """Implements `Items`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def add(self, item: Item) -> Item:
        row = await self._transaction.first(ADD, **_values(item))
        if row is None:
            raise InvalidAccessToken
        item.id = ItemId(row[0])
        return item

    async def add_all(self, items: Sequence[Item]) -> Sequence[Item]:
        if await self._transaction.first(HOLD_OWNER, owner_id=items[0].owner_id) is None:
            raise InvalidAccessToken
        rows = await self._transaction.many(ADD_HELD, [_values(item) for item in items])
        for item, row in zip(items, rows, strict=True):
            item.id = ItemId(row[0])
        return items

    async def get(self, item_id: int) -> Item:
        row = await self._transaction.first(LOCK_BY_ID, item_id=item_id)
        if row is None:
            raise ItemNotFound
        return item_of(row)

    async def save(self, item: Item) -> None:
        await self._transaction.run(SAVE, item_id=item.id, **_values(item))

    async def delete(self, item_id: int) -> None:
        await self._transaction.run(DELETE, item_id=item_id)

    async def delete_owned_by(self, user_id: int, *, limit: int) -> int:
        return await self._transaction.run(DELETE_OWNED_BY, owner_id=user_id, limit=limit)


async def find_item(database: Database, item_id: int) -> Item:
    """Raises `ItemNotFound`."""
    row = await database.first(BY_ID, item_id=item_id)
    if row is None:
        raise ItemNotFound
    return item_of(row)


@lru_cache(maxsize=128)
def page_statements(sort: ItemSort, words: int) -> tuple[Statement, Statement, Statement]:
    """The page at an offset, the page after a key, and the count, of a list sorted so, with so many words."""
    conditions = [
        col(ItemRow.owner_id) == bindparam("owner_id"),
        *(has_word(col(ItemRow.search), bindparam(f"word{n}", type_=Text)) for n in range(words)),
    ]
    column, id_ = TABLE.c[sort.field], TABLE.c.id
    after, after_id = bindparam("after", type_=column.type), bindparam("after_id", type_=id_.type)
    # Two ranges of one index, each no longer than the page: given (column, id) < (:after, :after_id), SQLite begins at
    # the first of all rows that are equal in the column, which may be a million.
    rows = select(*COLUMNS).where(*conditions)
    equals = rows.where(column == after, id_ < after_id if sort.falling else id_ > after_id)
    beyond = rows.where(column < after if sort.falling else column > after)
    ranges = (select(_sorted(some, TABLE.c, sort).subquery()) for some in (equals, beyond))
    both = union_all(*ranges).subquery()
    count = select(func.count()).select_from(ItemRow).where(*conditions)
    return (
        at_offset(_sorted(rows, TABLE.c, sort), count),
        Statement(_sorted(select(both), both.c, sort)),
        Statement(count),
    )


def _sorted(rows: Select[Any], columns: Any, sort: ItemSort) -> Select[Any]:
    key = (columns[sort.field], columns.id)
    return rows.order_by(*(desc(column) if sort.falling else asc(column) for column in key)).limit(bindparam("limit"))


async def page_of_items(
    database: Database, owner_id: int, request: PageRequest, *, sort: ItemSort, words: Sequence[str]
) -> Page[Item]:
    """One row more than asked for tells whether there is a next page."""
    values: dict[str, Any] = {f"word{n}": word for n, word in enumerate(words)}
    first, after_key, count = page_statements(sort, len(words))
    total = None
    if request.after is None:
        rows, total = await page_at_offset(database, first, count, request, owner_id=owner_id, **values)
    else:
        after, after_id = request.after
        rows = await database.all(
            after_key, owner_id=owner_id, limit=request.limit + 1, after=after, after_id=after_id, **values
        )
    items = [item_of(row) for row in rows[: request.limit]]
    return Page(items, total, sort.key(items[-1]) if len(rows) > request.limit else None)
