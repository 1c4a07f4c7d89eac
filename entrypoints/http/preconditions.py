"""Preconditions on the version of a resource (RFC 9110 section 13). The entity tag of version 3 is `"3"`."""

import re
from typing import Annotated, Final

from fastapi import Depends, Header, Request

TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
VERSION: Final = re.compile(r"[1-9][0-9]{0,18}")
LIST: Final = re.compile(rf"[ \t,]*(?:{TAG.pattern}[ \t]*(?:,[ \t,]*|$))+")


def entity_tag(version: int) -> str:
    return f'"{version}"'


def entity_tags(value: str, *, weak: bool) -> frozenset[str]:
    """What the tags in the list say; those that are weak only if they count. An empty set if it is no list."""
    if not LIST.fullmatch(value):
        return frozenset()
    return frozenset(tag for mark, tag in TAG.findall(value) if weak or not mark)


def _versions(value: str, *, weak: bool) -> frozenset[int]:
    return frozenset(int(tag) for tag in entity_tags(value, weak=weak) if VERSION.fullmatch(tag))


def header_value(request: Request, name: str) -> str | None:
    lines = request.headers.getlist(name)
    return ", ".join(lines).strip(" \t") if lines else None


async def _if_match(
    request: Request,
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="Only if the resource still has this `ETag`.")
    ] = None,
) -> frozenset[int] | None:
    value = header_value(request, "if-match") if if_match is not None else None
    return None if value in (None, "*") else _versions(value or "", weak=False)


IfMatch = Annotated[frozenset[int] | None, Depends(_if_match)]
"""The versions that the resource may be at (strong comparison); None if any will do, which `*` says too."""


class KnownVersions:
    """What the client has: the tags in `If-None-Match`, compared weakly."""

    def __init__(self, value: str | None) -> None:
        self._value = value
        self._versions = _versions(value, weak=True) if value else frozenset()

    def include(self, version: int) -> bool:
        return self._value == "*" or version in self._versions


async def _if_none_match(
    request: Request,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="Not if the resource still has this `ETag`.")
    ] = None,
) -> KnownVersions:
    return KnownVersions(header_value(request, "if-none-match") if if_none_match is not None else None)


IfNoneMatch = Annotated[KnownVersions, Depends(_if_none_match)]
