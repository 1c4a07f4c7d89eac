"""A TCP proxy that cuts connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class CuttingProxy:
    """Passes everything on to `port`; each of the first connections is cut once that many bytes went that way."""

    port: int
    cuts: list[int]
    listening_on: int = 0
    passed: int = 0
    """Bytes that went to the server."""
    cut: int = 0
    """Connections that were."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(server_writer)
        room = self.cuts[self.cut] if self.cut < len(self.cuts) else None
        back = asyncio.create_task(self._pass(server_reader, writer))
        try:
            while data := await reader.read(16384):
                if room is not None and (room := room - len(data)) <= 0:
                    self.cut += 1
                    break
                self.passed += len(data)
                server_writer.write(data)
                await server_writer.drain()
        except OSError:
            pass
        finally:
            back.cancel()
            for each in (writer, server_writer):
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(16384):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def cutting(port: int, *cuts: int) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(port, list(cuts))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.listening_on = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.close()
