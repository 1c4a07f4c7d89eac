"""How lists are asked for and answered."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from domain.pages import Page, PageRequest
from entrypoints.http.fields import GREATEST_ID, ID

T = TypeVar("T")

CURSOR: Final = re.compile(rb"after:(" + ID.pattern.encode() + rb")")


class ListResponse(BaseModel, Generic[T]):
    """A page of a list. Paged by `cursor`, it says nothing of `total`, `page` and `pages`."""

    items: list[T]
    total: int | None
    page: int | None
    size: int
    pages: int | None
    next_cursor: str | None


def page_response(page: Page[object], items: list[T], request: PageRequest) -> ListResponse[T]:
    """The page as it is answered."""
    total = page.total
    return ListResponse(
        items=items,
        total=total,
        page=None if total is None else request.skip // request.limit + 1,
        size=request.limit,
        pages=None if total is None else -(-total // request.limit),
        next_cursor=None if page.next_key is None else _cursor(page.next_key),
    )


def _cursor(key: int) -> str:
    return urlsafe_b64encode(b"after:%d" % key).decode().rstrip("=")


def _key(cursor: str) -> int:
    """What the cursor stands for. Raises a 422 for one that this API did not give."""
    try:
        found = CURSOR.fullmatch(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if found and int(found[1]) <= GREATEST_ID and _cursor(int(found[1])) == cursor:
            return int(found[1])
    except ValueError:
        pass
    message = "Must be the next_cursor of an earlier page"
    raise RequestValidationError([{"loc": ("query", "cursor"), "msg": message, "type": "cursor"}])


async def _page_request(
    skip: Annotated[int, Query(ge=0, le=GREATEST_ID, description="How many rows to pass over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100, description="How many rows to answer with.")] = 10,
    cursor: Annotated[
        str | None,
        Query(max_length=200, description="The `next_cursor` of the page before; `skip` then means nothing."),
    ] = None,
) -> PageRequest:
    return PageRequest(limit=limit, skip=skip, after=None if cursor is None else _key(cursor))


PageParameters = Annotated[PageRequest, Depends(_page_request)]
