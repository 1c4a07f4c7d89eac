"""A server that a test starts, kills and starts again."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

STARTING_SECONDS: Final = 180
LOOK_EVERY: Final = 0.005
"""Seconds between two looks whether it answers."""


class ServerFailed(Exception):
    """It didn't start; with its last words."""


class ServerProcess:
    """A process that `answers` tells of when it can be asked. What it prints is kept in the `log`."""

    def __init__(self, log: Path, answers: Callable[[], bool]) -> None:
        self._log = log
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str]) -> None:
        """Return when it answers. Raises `ServerFailed`."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + STARTING_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{command[0]} didn't start: {self._log.read_text()[-500:]}")
            time.sleep(LOOK_EVERY)

    def kill(self) -> None:
        """End it at once, as a crash would; return when it is gone. Does nothing if it isn't running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=STARTING_SECONDS)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the server isn't running")
        os.kill(self._process.pid, number)
