"""What it costs to trace requests."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import median_ratio, register
from tests.benchmarks.own_user import one_round
from tests.benchmarks.servers import migrate, portico
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
    postgres.create_database("traced")
    url = postgres.url("traced")
    migrate(folder, url)
    with (
        _collector() as endpoint,
        portico(folder, DATABASE_URL=url, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as tracing,
        portico(folder, DATABASE_URL=url) as without,
    ):
        token = asyncio.run(register(tracing, "ada@example.org"))
        rounds = [
            one_round((tracing, without), token, swapped=n % 2 == 1, quick=quick) for n in range(3 if quick else 7)
        ]
    cpu = median_ratio([(first.cpu_us, second.cpu_us) for first, second in rounds])
    return [Figure("`GET /users/me`, each traced: CPU of a request, against untraced", cpu)]
