"""The deployments that the suite runs on: that all pairs are among them, and that each is what it says."""

import re
from itertools import combinations, product
from pathlib import Path
from typing import get_args, get_type_hints

from entrypoints.settings import Settings
from tests.deployments import DEPLOYMENTS, Deployment
from tests.http.answers import work_done
from tests.http.uploading import upload
from tests.redis_server import RedisServer
from tests.running_app import RunningApp
from tests.s3_servers import S3Server

ADA = "ada@example.org"
PARTS = {part: get_args(choice) for part, choice in get_type_hints(Deployment).items()}


def test_every_two_backends_that_can_be_combined_are() -> None:
    wanted = {
        frozenset({(one, first), (other, second)})
        for one, other in combinations(PARTS, 2)
        for first, second in product(PARTS[one], PARTS[other])
    }

    tried = {frozenset(pair) for each in DEPLOYMENTS for pair in combinations(vars(each).items(), 2)}

    assert len(wanted) == 30
    assert tried == wanted


def test_no_backend_is_forgotten() -> None:
    assert set(PARTS["mail"]) == set(get_args(Settings.model_fields["mail_backend"].annotation))
    assert len(PARTS["storage"]) == len(get_args(Settings.model_fields["storage_backend"].annotation))


def test_whatever_is_asked_of_one_deployment_alone_says_why() -> None:
    for module in Path(__file__).parent.glob("test_*.py"):
        text = module.read_text("utf-8")
        starts_its_own = "deployment_" not in text and re.search(r"\b(serving|run_app)\(", text)
        if starts_its_own or "\ndef deployment(" in text:
            assert "One deployment will do" in text, module.name


async def test_each_deployment_uses_what_it_names_and_nothing_else(
    app: RunningApp, deployment: Deployment, redis: RedisServer, moto: S3Server, bucket: str
) -> None:
    _, ada = await app.user(ADA)
    await upload(app, ada)
    await work_done(app)

    (mail,) = app.mailbox.mails(ADA)
    assert "confirm" in mail["Subject"]
    assert holds(app.data / "portico.db") == (deployment.database == "sqlite")
    assert holds(app.data / "files") == (deployment.storage == "disk")
    assert bool(moto.names_in(bucket)) == (deployment.storage == "s3")
    assert bool(redis.keys()) == (deployment.throttles == "redis")
    assert holds(app.data / "mail") == (deployment.mail == "file")


def holds(path: Path) -> bool:
    return path.is_file() or any(each.is_file() for each in path.rglob("*"))
