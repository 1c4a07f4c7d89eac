"""A throwaway Redis for one test: on a unix socket or a host of its own, without a file of data, gone afterwards."""

import shutil
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from redis import Redis
from redis.exceptions import RedisError

from tests.server_process import STARTING_SECONDS, ServerFailed, ServerProcess

HOW_TO_GET: Final = "no Redis on this machine: `apt-get install redis-server`"
PORT: Final = 6379


class RedisUnavailable(Exception):
    """No server can be had; says in one line why, or how to get one."""


class RedisServer:
    """`with RedisServer() as server:` starts one, and ends it whatever happened. Raises `RedisUnavailable`.

    With an `address` it listens there too, for whoever comes; `within` is put before the command that starts it.
    """

    def __init__(self, *, address: str = "", within: tuple[str, ...] = ()) -> None:
        self._address = address
        self._within = within
        self._directory = Path(tempfile.mkdtemp(prefix="portico-redis-"))
        self._socket = self._directory / "redis.sock"
        self._server = ServerProcess(self._directory / "log", self._answers)

    @property
    def url(self) -> str:
        """The address, as redis-py and `REDIS_URL` take it; the same after each start."""
        return f"unix://{self._socket}"

    @property
    def url_over_network(self) -> str:
        """The address for another host."""
        return f"redis://{self._address}:{PORT}"

    def start(self) -> None:
        """Return when the server answers. It starts empty. Raises `RedisUnavailable`."""
        program = shutil.which("redis-server")
        if program is None:
            raise RedisUnavailable(HOW_TO_GET)
        self._socket.unlink(missing_ok=True)
        listening = f"--bind {self._address} --port {PORT} --protected-mode no" if self._address else "--port 0"
        options = f"{listening} --unixsocket {self._socket} --dir {self._directory} --appendonly no".split()
        try:
            self._server.start([*self._within, program, *options, "--save", ""])
        except ServerFailed as error:
            raise RedisUnavailable(str(error)) from error

    def kill(self) -> None:
        """End it at once, as a crash would; return when it is gone. Does nothing if it isn't running."""
        self._server.kill()

    def pause(self) -> None:
        """Let it hang: connections stay open and new ones are taken, but nothing is answered until `resume`."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._server.signal(signal.SIGCONT)

    def empty(self) -> None:
        """Forget all that it holds."""
        with self._client() as client:
            client.flushall()

    def keys(self) -> set[str]:
        """The names of all keys that it holds."""
        with self._client() as client:
            return {key.decode() for key in client.scan_iter()}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self._directory)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory)

    def _client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=STARTING_SECONDS)

    def _answers(self) -> bool:
        with self._client() as client:
            try:
                return bool(client.ping())
            except (RedisError, OSError):
                return False
