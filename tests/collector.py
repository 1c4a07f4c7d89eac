"""A collector of traces: takes what OpenTelemetry sends by OTLP over HTTP, and keeps it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """`spans` are all that came, in the order in which they did; `senders` is what each process says of itself."""

    port: int = 0
    spans: list[Span] = field(default_factory=list)
    senders: list[dict[str, str]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request after the other until the client goes away."""
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                assert head.startswith("post /v1/traces ")
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                received = ExportTraceServiceRequest.FromString(await reader.readexactly(length))
                for resource in received.resource_spans:
                    said = {each.key: each.value.string_value for each in resource.resource.attributes}
                    if said not in self.senders:
                        self.senders.append(said)
                    for scope in resource.scope_spans:
                        self.spans += scope.spans
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            self._open.discard(writer)
            writer.close()

    async def close(self) -> None:
        """Hang up on whoever is connected."""
        for writer in self._open:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._open), return_exceptions=True)


@asynccontextmanager
async def endless_collector() -> AsyncIterator[str]:
    """A collector that never comes to the end of its answer, and never falls silent. Its address."""
    answering = set()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(writer)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"X-Still: here\r\n")
                await writer.drain()
                await asyncio.sleep(0.2)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in answering:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in answering), return_exceptions=True)


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """A collector that listens."""
    collecting = Collector()
    server = await asyncio.start_server(collecting.answer, "127.0.0.1", 0)
    collecting.port = server.sockets[0].getsockname()[1]
    async with server:
        yield collecting
        await collecting.close()
