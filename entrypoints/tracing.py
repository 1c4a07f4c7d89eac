"""Traces, by OpenTelemetry: each request is a span, each job, and each call of a port that is waited for. Loaded only
where one is wanted.

The ports are where Portico meets the outside, so one rule covers every database, mail server, bucket and partner. No
spans are: the job queue, which every worker asks again and again, the broadcasts, the work on images, and the bytes of
a blob on their way out. A span says what was called and how long it took, never with which values.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from threading import Thread
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from application.correlation import traceparent
from application.jobs import Handler
from application.ports.jobs import Job
from application.ports.persistence import Begin, Work
from domain.errors import Refusal, Unavailable, UpstreamError

LAST_SECONDS: Final = 5.0
"""How long what is left may take to be handed over in the end: a collector that is away is no reason to stop later."""
TRACE_CONTEXT: Final = TraceContextTextMapPropagator()
"""W3C Trace Context."""

log = logging.getLogger(__name__)


class Tracing:
    """Hands spans to the collector at `endpoint`, in the background."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": "portico"}).merge(OTELResourceDetector().detect())
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(_WithoutQueries())
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
        self._tracer = self.provider.get_tracer("portico")

    async def close(self) -> None:
        """Hand over what is left, or give it up after `LAST_SECONDS`."""
        handing_over = Thread(target=self.provider.shutdown, name="last spans", daemon=True)
        handing_over.start()
        await asyncio.to_thread(handing_over.join, LAST_SECONDS)
        if handing_over.is_alive():
            log.warning("the collector of traces does not take what is left: it is given up")

    def port(self, name: str, port: Any) -> Any:
        """The port, each of whose calls is a span."""
        return _Traced(self, name, port)

    def begin(self, begin: Begin) -> Begin:
        """A `Begin` whose transactions are spans. The jobs that one writes down carry on from it."""

        @asynccontextmanager
        async def traced() -> AsyncIterator[Work]:
            with self._span("transaction"):
                async with begin() as work:
                    yield work

        return traced

    def handlers(self, handlers: Mapping[str, Handler]) -> Mapping[str, Handler]:
        """The handlers of jobs, each of which goes on with the trace that caused its job."""
        return {kind: self._handler(handler) for kind, handler in handlers.items()}

    def _handler(self, handler: Handler) -> Handler:
        async def traced(job: Job) -> None:
            parent = TRACE_CONTEXT.extract({"traceparent": job.traceparent} if job.traceparent else {})
            with self._span(f"job {job.kind}", SpanKind.CONSUMER, parent) as span:
                span.set_attribute("portico.job.attempt", job.attempt)
                await handler(job)

        return traced

    @contextmanager
    def _span(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, parent: Context | None = None
    ) -> Iterator[trace.Span]:
        """A span around the block, with which what it causes goes on. Of what goes wrong it says the kind alone: texts
        may hold values."""
        with self._tracer.start_as_current_span(
            name, parent, kind, record_exception=False, set_status_on_exception=False
        ) as span:
            carrier: dict[str, str] = {}
            TRACE_CONTEXT.inject(carrier)
            token = traceparent.set(carrier.get("traceparent"))
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                if not isinstance(error, Refusal) or isinstance(error, Unavailable | UpstreamError):
                    span.set_status(StatusCode.ERROR)
                raise
            finally:
                traceparent.reset(token)

    def call(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """The method, as a span."""

        async def traced(*arguments: Any, **named: Any) -> Any:
            with self._span(name, SpanKind.CLIENT):
                return await method(*arguments, **named)

        return traced


def with_trace(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The event of a log with the ids of the span that it happened in, else of the trace that caused its job."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event.setdefault("trace_id", trace.format_trace_id(span.trace_id))
        event.setdefault("span_id", trace.format_span_id(span.span_id))
    elif cause := traceparent.get():
        event.setdefault("trace_id", cause.split("-")[1])
    return event


class _Traced:
    def __init__(self, tracing: Tracing, name: str, port: Any) -> None:
        self._tracing, self._name, self._port = tracing, name, port

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if inspect.iscoroutinefunction(value) and name != "close":  # which nobody asks for: the process stops
            value = self._tracing.call(f"{self._name} {name}", value)
            setattr(self, name, value)  # looked up once
        return value


class _WithoutQueries(SpanProcessor):
    """Takes the query strings out of what FastAPI says of a request: there may be a mailed token in one."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - as inherited
        if "url.query" in (span.attributes or {}):
            span.set_attribute("url.query", "-")
