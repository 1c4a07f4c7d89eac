"""Serving HTTP with uvicorn, in one process or several."""

import gc
import logging
import os
import shutil
import signal
import sys
import tempfile
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from entrypoints.container import Container
from entrypoints.http.app import app_of
from entrypoints.http.http_protocol import HttpConnection
from entrypoints.http.websocket_routes import LARGEST_MESSAGE
from entrypoints.lifecycle import migrate_if_wanted
from entrypoints.logs import configure_logs
from entrypoints.settings import read_settings
from entrypoints.stopping import CourteousProcesses, CourteousServer

GRACE_SECONDS = 30
"""How long requests under way may take to finish once the server was told to stop."""
SILENCE_SECONDS = 30
"""How long one of several processes may say nothing before it is killed: it may be busy, as its machine may be."""
KEEP_ALIVE_SECONDS = 75
"""Longer than a proxy keeps its connections, so that it is the proxy that closes them."""

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""How `serve` tells its processes, and Prometheus' client in them, where to keep their figures."""

log = logging.getLogger(__name__)


def serve(container: Container, *, host: str, port: int, workers: int) -> None:
    """Serve until told to stop: then it exits with 0. One process also does the background work."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    migrate_if_wanted(container)
    if workers == 1:
        app = app_of(container, with_worker=True)
        _look_for_garbage()
        server = CourteousServer(_config(app, host=host, port=port), container.stopping())
        server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)
        return
    gc.enable()
    log.info("several processes serve: the background work, mail too, is done by portico worker")
    folder = os.environ[METRICS_FOLDER] = tempfile.mkdtemp(prefix="portico-metrics-")
    try:
        config = _config("entrypoints.server:app_of_process", host=host, port=port, workers=workers)
        CourteousProcesses(config, sockets=[config.bind_socket()]).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def app_of_process() -> FastAPI:
    """The app of one process among several."""
    settings = read_settings()
    configure_logs(settings.log_format, settings.log_level, traced=settings.is_traced)
    app = app_of(Container(settings=settings, metrics_folder=os.environ[METRICS_FOLDER]), with_worker=False)
    _look_for_garbage()
    return app


def _look_for_garbage() -> None:
    """From now on, and only in what comes from now on: modules and routes never become any."""
    gc.freeze()
    gc.enable()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    """While nothing is served yet, and once nothing is any more: uvicorn then raises again the signal that it heard."""
    sys.exit(0)


def _config(app: FastAPI | str, *, host: str, port: int, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=workers,
        http=HttpConnection,
        ws="entrypoints.http.websocket_routes:websocket_connection",
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=SILENCE_SECONDS,
    )
