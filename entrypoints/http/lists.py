"""How lists are asked for and answered."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from application.ports.security import Secrets
from domain.ids import GREATEST_ID
from domain.pages import Key, Page, PageRequest
from domain.search import words
from entrypoints.http.fields import Text

T = TypeVar("T")

MOST_WORDS: Final = 10
LONGEST_CURSOR: Final = 4000
"""Characters: enough for a title of 255 characters, each of them written as an escape."""
MAC: Final = 43
"""Characters of a cursor's signature, 6 bits each."""


class ListResponse(BaseModel, Generic[T]):
    """A page of a list. Paged by `cursor`, it says nothing of `total`, `page` and `pages`."""

    items: list[T]
    total: Annotated[int | None, Field(examples=[57])]
    page: Annotated[int | None, Field(examples=[1])]
    size: Annotated[int, Field(examples=[10])]
    pages: Annotated[int | None, Field(examples=[6])]
    next_cursor: Annotated[str | None, Field(examples=["kq3X…"])]

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """The name in the OpenAPI document, and so in the clients that are made from it: `ItemList`."""
        return f"{params[0].__name__.removesuffix('Response')}List"


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page is asked for. A cursor holds for the list that gave it, by its name, whose it is, and its order."""

    limit: int
    skip: int
    cursor: str | None
    secrets: Secrets

    def request(self, *name: str) -> PageRequest:
        """The page of that list. Raises a 422 for a cursor that this list did not give."""
        after = None if self.cursor is None else self._key(self.cursor, name)
        return PageRequest(limit=self.limit, skip=self.skip, after=after)

    def response(self, page: Page[object], items: list[T], *name: str) -> ListResponse[T]:
        """The page of that list as it is answered."""
        total = page.total
        return ListResponse(
            items=items,
            total=total,
            page=None if total is None else self.skip // self.limit + 1,
            size=self.limit,
            pages=None if total is None else -(-total // self.limit),
            next_cursor=None if page.next_key is None else self._cursor(name, page.next_key),
        )

    def _cursor(self, name: tuple[str, ...], key: Key) -> str:
        text = json.dumps([name, key], default=_moment_as_json, ensure_ascii=False, separators=(",", ":"))
        payload = urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return self.secrets.derived("cursor", payload) + payload

    def _key(self, cursor: str, name: tuple[str, ...]) -> Key:
        mac, payload = cursor[:MAC], cursor[MAC:]
        if self.secrets.is_derived(mac, "cursor", payload):
            text = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
            of, key = json.loads(text, object_hook=_moment_from_json)
            if tuple(of) == name:
                return tuple(key)
        message = "Must be the next_cursor of an earlier page"
        raise RequestValidationError([{"loc": ("query", "cursor"), "msg": message, "type": "cursor"}])


def _moment_as_json(moment: datetime) -> dict[str, str]:
    return {"at": moment.isoformat()}


def _moment_from_json(value: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(value["at"])


async def _paging(
    request: Request,
    skip: Annotated[int, Query(ge=0, le=GREATEST_ID, description="How many rows to pass over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100, description="How many rows to answer with.")] = 10,
    cursor: Annotated[
        Text | None,
        Query(
            max_length=LONGEST_CURSOR, description="The `next_cursor` of the page before; `skip` then means nothing."
        ),
    ] = None,
) -> Paging:
    return Paging(limit, skip, cursor, request.app.state.container.secrets())


PageParameters = Annotated[Paging, Depends(_paging)]


def _few_words(q: str) -> str:
    if len(words(q)) > MOST_WORDS:
        raise PydanticCustomError("too_many_words", f"Must be at most {MOST_WORDS} words")
    return q


SearchWords = Annotated[Text, AfterValidator(_few_words)]
"""What is searched for: at most 10 words."""
