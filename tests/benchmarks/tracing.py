"""What it costs to trace requests."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.benchmarks.comparison import CONNECTIONS, Pair
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Load, register, wrk
from tests.benchmarks.servers import Server, new_database, portico
from tests.postgres_server import PostgresServer


class _Collector(BaseHTTPRequestHandler):
    """Takes everything, and looks at nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _collector() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def traced(folder: Path, postgres: PostgresServer, *, quick: bool) -> list[Figure]:
    """Two servers on one database, of which one traces."""
    url = new_database(folder, postgres, "traced")
    with (
        _collector() as endpoint,
        portico(folder, DATABASE_URL=url, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as tracing,
        portico(folder, DATABASE_URL=url) as without,
    ):
        token = asyncio.run(register(tracing, "ada@example.org"))

        def load(server: Server, seconds: int) -> Load:
            return wrk(server, token, connections=CONNECTIONS, seconds=seconds)

        cpu, _ = Pair(tracing, without).ratios(load, quick=quick)
    return [Figure("`GET /users/me`, each traced: CPU of a request, against untraced", cpu)]
