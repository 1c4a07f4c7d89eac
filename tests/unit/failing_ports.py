"""Ports that fail at one call: before it does anything, or after it has."""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from domain.errors import Unavailable


class PortFailed(Unavailable):
    """What the port raises: nothing else in the tests does."""


@dataclass
class Fuse:
    """Counts the calls of all ports that are wired through it, and blows at one of them; at none if it is None."""

    blows_at: int | None = None
    afterwards: bool = False
    """Whether the call is carried out first, so that only its answer is lost."""
    stays_blown: bool = False
    """Whether all calls after that one fail, too, and at once."""
    calls: list[str] = field(default_factory=list)
    on_commit: Callable[[], None] = field(default=lambda: None)

    def before(self, name: str) -> bool:
        """Note the call. Whether it is the one whose answer gets lost; raises `PortFailed` if it is to fail at once."""
        number = len(self.calls)
        self.calls.append(name)
        blows = number == self.blows_at
        if blows and not self.afterwards:
            raise PortFailed
        if self.stays_blown and self.blows_at is not None and number > self.blows_at:
            raise PortFailed
        return blows

    def wire(self, name: str, port: Any) -> Any:
        """The port, each of whose calls goes through the fuse."""
        return _Wired(self, name, port)

    def wire_method(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(inspect.unwrap(method)):
            return self._wire_reading(name, method)
        if inspect.iscoroutinefunction(method):

            async def asynchronous(*arguments: Any, **named: Any) -> Any:
                loses_answer = self.before(name)
                result = await method(*arguments, **named)
                if loses_answer:
                    raise PortFailed
                return result

            return asynchronous

        def synchronous(*arguments: Any, **named: Any) -> Any:
            loses_answer = self.before(name)
            result = method(*arguments, **named)
            if loses_answer:
                raise PortFailed
            return result

        return synchronous

    def _wire_reading(self, name: str, open_: Callable[..., Any]) -> Callable[..., Any]:
        """A method that opens a stream: it can fail on its way in, and at each piece."""

        @asynccontextmanager
        async def wired(*arguments: Any, **named: Any) -> AsyncIterator[AsyncIterator[bytes]]:
            loses_answer = self.before(name)
            async with open_(*arguments, **named) as pieces:
                if loses_answer:
                    raise PortFailed
                yield self._wire_pieces(f"{name} a piece", pieces)

        return wired

    async def _wire_pieces(self, name: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            if self.before(name):
                raise PortFailed
            yield piece

    def wire_begin(self, begin: Callable[..., Any]) -> Callable[..., Any]:
        """A `Begin` that can fail on its way in and at the commit, as can whatever is called within."""

        @asynccontextmanager
        async def wired() -> AsyncIterator[Any]:
            loses_answer = self.before("begin")
            async with begin() as work:
                if loses_answer:
                    raise PortFailed
                yield self.wire("work", work)
                loses_answer = self.before("commit")
            self.on_commit()
            if loses_answer:
                raise PortFailed

        return wired


class _Wired:
    def __init__(self, fuse: Fuse, name: str, target: Any) -> None:
        self._fuse, self._name, self._target = fuse, name, target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        full_name = f"{self._name}.{name}"
        if callable(value):
            return self._fuse.wire_method(full_name, value)
        return value if isinstance(value, int | str) else self._fuse.wire(full_name, value)


@dataclass
class Wiring:
    """Puts the fuse between use cases and the parts that they are made of."""

    fuse: Fuse
    ports: list[Any]
    begin: Callable[..., Any]
    use_cases: set[type] = field(default_factory=set)
    """Those that were met on the way, down to the ones that others are made of."""

    def __call__(self, use_case: Any) -> Any:
        """The use case as it is, made anew on ports that can fail."""
        self.use_cases.add(type(use_case))
        return replace(
            use_case, **{each.name: self._wired(each.name, getattr(use_case, each.name)) for each in fields(use_case)}
        )

    def _wired(self, name: str, part: Any) -> Any:
        if part == self.begin:
            return self.fuse.wire_begin(part)
        if any(part is port for port in self.ports):
            return self.fuse.wire(name, part)
        if isinstance(part, Mapping) and any(map(is_dataclass, part.values())):
            return {key: self._wired(key, each) for key, each in part.items()}
        return self(part) if is_dataclass(part) else part
