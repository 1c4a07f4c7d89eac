"""What Prometheus is told. Each app has a registry of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from application.ports.jobs import QueueFigures
from application.ports.mail import Mail, Mailer

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds."""

UNSENT: Final = frozenset({"retried", "dead"})
"""Outcomes of a job that was to send a mail; one that is done may have found nobody to send it to."""


disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each series, which nobody reads


class Metrics:
    """Counts requests, jobs and mails.

    The processes of one server write their figures into `folder`, which `PROMETHEUS_MULTIPROC_DIR` names for them, and
    each gives those of all together. A process that serves alone has none.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self._registry = registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("portico_http_requests", "Requests answered.", labels, registry=registry)
        self._durations = Histogram(
            "portico_http_request_duration_seconds", "Time to answer.", labels, registry=registry, buckets=BUCKETS
        )
        self.in_flight = self._gauge("portico_http_requests_in_flight", "Requests under way.")
        self.websockets = self._gauge("portico_websocket_connections", "WebSockets that are open.")
        self._jobs = Counter("portico_jobs", "Jobs worked on.", ("kind", "outcome"), registry=registry)
        self._mails = Counter("portico_mails", "Mails worked on.", ("outcome",), registry=registry)
        self._depth = self._gauge("portico_job_queue_depth", "Jobs that could be done now.", shared=True)
        self._age = self._gauge(
            "portico_job_queue_age_seconds", "How long the one that is longest due waits.", shared=True
        )
        self._running = self._gauge("portico_jobs_running", "Jobs that a worker has in its hands.", shared=True)
        self._retrying = self._gauge(
            "portico_jobs_retrying", "Jobs that have failed and are to be tried again.", shared=True
        )
        self._dead = self._gauge("portico_jobs_dead", "Jobs that have failed for good, and are kept.", shared=True)
        self._connections = self._gauge("portico_database_connections", "Connections to the database.", ("state",))
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = (), *, shared: bool = False) -> Gauge:
        """A figure of each process, to be added up; or one of something that all processes share."""
        mode: Literal["mostrecent", "livesum"] = "mostrecent" if shared else "livesum"
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode=mode)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method, route, status)
        children = self._answered.get(key)
        if children is None:
            children = self._requests.labels(*map(str, key)), self._durations.labels(*map(str, key))
            self._answered[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def worked(self, kind: str, outcome: str) -> None:
        self._jobs.labels(kind, outcome).inc()
        if kind.startswith("mail_") and outcome in UNSENT:
            self._mails.labels(outcome).inc()

    def sent(self) -> None:
        """A mail was handed over."""
        self._mails.labels("sent").inc()

    def exposition(self, queue: QueueFigures | None, connections: Mapping[str, int]) -> bytes:
        """Everything, in Prometheus' text format. Without figures of the queue, those of before stay.

        Where there are several processes this reads the files of all of them: not in the event loop.
        """
        if queue is not None:
            self._depth.set(queue.depth)
            self._age.set(queue.age_seconds)
            self._running.set(queue.running)
            self._retrying.set(queue.retrying)
            self._dead.set(queue.dead)
        for state, count in connections.items():
            self._connections.labels(state).set(count)
        if self._folder is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)


@dataclass(frozen=True)
class CountedMailer:
    """Counts what the mailer has handed over."""

    mailer: Mailer
    metrics: Metrics

    async def send(self, mail: Mail) -> None:
        await self.mailer.send(mail)
        self.metrics.sent()
