"""The deployments that the HTTP suite runs on: every two backends that can be combined meet in one of them."""

from dataclasses import astuple, dataclass
from typing import Final, Literal

import pytest


@dataclass(frozen=True)
class Deployment:
    """What is chosen with `DATABASE_URL`, `STORAGE_BACKEND`, `REDIS_URL` and `MAIL_BACKEND`."""

    database: Literal["sqlite", "postgres"]
    storage: Literal["disk", "s3"]
    throttles: Literal["memory", "redis"]
    mail: Literal["console", "file", "smtp"]

    def __str__(self) -> str:
        return "-".join(astuple(self))


LAPTOP: Final = Deployment("sqlite", "disk", "memory", "file")
DEPLOYMENTS: Final = (
    LAPTOP,
    Deployment("postgres", "s3", "redis", "file"),
    Deployment("postgres", "s3", "memory", "smtp"),
    Deployment("sqlite", "disk", "redis", "smtp"),
    Deployment("sqlite", "s3", "redis", "console"),
    Deployment("postgres", "disk", "memory", "console"),
)


def on(**backends: str) -> pytest.MarkDecorator:
    """Lets a test run only where these are used, everywhere if none is named. Whoever reads the test must see why."""
    return pytest.mark.parametrize(
        "deployment",
        [each for each in DEPLOYMENTS if all(getattr(each, part) == name for part, name in backends.items())],
        ids=str,
    )
