"""The bare app, with the packages that each start of Portico has to load, and not a line of Portico."""

import bcrypt
import prometheus_client
import pydantic_settings
import structlog
from dependency_injector import containers, providers

from tests.benchmarks.twins.bare import app

LOADED = (bcrypt, containers, prometheus_client, providers, pydantic_settings, structlog)

__all__ = ["LOADED", "app"]
