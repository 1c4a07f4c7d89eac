"""Ports that fail at one call, before it does anything or after it has; or whoever asked goes away meanwhile."""

import asyncio
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
    leaves: bool = False
    """Whether no call fails, but whoever asked goes away during that one."""
    asking: asyncio.Task[Any] | None = None
    """Whoever asked."""
    left: bool = False
    """Whether it did: nobody can go away during a call that is not waited for."""
    calls: list[str] = field(default_factory=list)
    on_commit: Callable[[], None] = field(default=lambda: None)

    def before(self, name: str) -> bool:
        """Note the call. Whether it is the one that the fuse blows at; raises `PortFailed` if it is to fail at once."""
        number = len(self.calls)
        self.calls.append(name)
        blows = number == self.blows_at
        if blows and not self.afterwards and not self.leaves:
            raise PortFailed
        if self.stays_blown and self.blows_at is not None and number > self.blows_at:
            raise PortFailed
        return blows

    async def on_the_way(self, blows: bool, *, back: bool = False) -> None:
        """What happens on the way to a call that is waited for, or on the way back. Raises `PortFailed`."""
        if not blows or back != self.afterwards:
            return
        if not self.leaves:
            raise PortFailed
        assert self.asking is not None
        self.left = True
        self.asking.cancel()
        await asyncio.sleep(0)  # which is where it ends, unless it is somebody else who waits

    def wire(self, name: str, port: Any) -> Any:
        """The port, each of whose calls goes through the fuse."""
        return _Wired(self, name, port)

    def wire_method(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(inspect.unwrap(method)):
            return self._wire_reading(name, method)
        if inspect.iscoroutinefunction(method):

            async def asynchronous(*arguments: Any, **named: Any) -> Any:
                blows = self.before(name)
                await self.on_the_way(blows)
                result = await method(*arguments, **named)
                await self.on_the_way(blows, back=True)
                return result

            return asynchronous

        def synchronous(*arguments: Any, **named: Any) -> Any:
            blows = self.before(name)
            result = method(*arguments, **named)
            if blows and not self.leaves:
                raise PortFailed
            return result

        return synchronous

    def _wire_reading(self, name: str, open_: Callable[..., Any]) -> Callable[..., Any]:
        """A method that opens a stream: it can fail on its way in, and at each piece."""

        @asynccontextmanager
        async def wired(*arguments: Any, **named: Any) -> AsyncIterator[AsyncIterator[bytes]]:
            blows = self.before(name)
            await self.on_the_way(blows)
            async with open_(*arguments, **named) as pieces:
                await self.on_the_way(blows, back=True)
                yield self._wire_pieces(f"{name} a piece", pieces)

        return wired

    async def _wire_pieces(self, name: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            await self.on_the_way(self.before(name), back=self.afterwards)
            yield piece

    def wire_begin(self, begin: Callable[..., Any]) -> Callable[..., Any]:
        """A `Begin` that can fail on its way in and at the commit, as can whatever is called within."""

        @asynccontextmanager
        async def wired() -> AsyncIterator[Any]:
            blows = self.before("begin")
            await self.on_the_way(blows)
            async with begin() as work:
                await self.on_the_way(blows, back=True)
                yield self.wire("work", work)
                blows = self.before("commit")
                await self.on_the_way(blows)
            self.on_commit()
            await self.on_the_way(blows, back=True)

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
