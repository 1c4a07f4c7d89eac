"""Servers that lose nobody when they stop: who was connected by then gets an answer, and who comes later is refused.

uvicorn closes connections that have sent nothing yet, and the system resets those that nobody accepted. A proxy that
sent a request down one of them can't tell whether it was carried out, and must not send it again.
"""

import asyncio
import socket

from prometheus_client.multiprocess import mark_process_dead
from uvicorn import Config, Server
from uvicorn.supervisors.multiprocess import Multiprocess, Process


class CourteousServer(Server):
    """Accepts what waits to be accepted before it stops. `HttpConnection` sees to it that each is answered.

    `stopping` is set first of all: what works beside the requests winds up while they finish, not after them.
    """

    def __init__(self, config: Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        listening = [socket.socket(fileno=socket.dup(each.fileno())) for each in self._listening(sockets)]
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        for each in listening:
            await self._accept_waiting(each)
        await super().shutdown()

    def _listening(self, sockets: list[socket.socket] | None) -> list[socket.socket]:
        return sockets or [each for server in self.servers for each in server.sockets]

    async def _accept_waiting(self, listening: socket.socket) -> None:
        """Accept all that wait, and close: from then on the system refuses."""
        accepted = []
        with listening:
            listening.setblocking(False)
            while True:
                try:
                    accepted.append(listening.accept()[0])
                except OSError:  # nobody waits, or who did has gone
                    break
        for connection in accepted:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


class CourteousProcess(Process):
    """One of several, with such a server."""

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = CourteousServer(self.config, asyncio.Event())  # nothing works beside the requests here
        return self._server


class CourteousProcesses(Multiprocess):
    """Several processes on one socket, which this one gives up first: else the system goes on to take connections.

    One that takes the place of one that crashed is uvicorn's own: it leaves those who wait to the others. What the
    crashed one had under way is no longer among the figures.
    """

    def init_processes(self) -> None:
        for _ in range(self.processes_num):
            process = CourteousProcess(self.config, self.sockets)
            process.start()
            self.processes.append(process)

    def keep_subprocess_alive(self) -> None:
        before = [process.pid for process in self.processes]
        super().keep_subprocess_alive()
        for crashed in set(before) - {process.pid for process in self.processes}:
            mark_process_dead(crashed)  # type: ignore[no-untyped-call]

    def terminate_all(self) -> None:
        for each in self.sockets:
            each.close()
        super().terminate_all()
