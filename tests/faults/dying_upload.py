"""An upload in a process of its own that dies at a given step: `python -m tests.faults.dying_upload`.

Takes the settings as JSON, the id of the user, and the step to die at, as `kill -9` would have it. A step is whatever
may leave something behind: each file that is made, named or removed, each chunk of the stream, and each transaction
before and after it commits. One that gets to its end has stored one file, and says so with exit status 0.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from dependency_injector.providers import Object

from application.ports.persistence import Work
from application.uploads import Upload
from domain.users import Actor
from entrypoints.container import Container
from entrypoints.settings import Settings

CONTENT: Final = b"tea" * 100_000
ON_DISK: Final = {"open", "os.rename", "os.mkdir", "os.remove"}


class Steps:
    """Counts them, and dies at the last one."""

    def __init__(self, last: int) -> None:
        self.left = last

    def take(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, folder: Path) -> None:
        """Every change in that folder is a step from now on."""

        def see(event: str, arguments: tuple[Any, ...]) -> None:
            if event in ON_DISK and str(arguments[0]).startswith(str(folder)):
                self.take()

        sys.addaudithook(see)

    @asynccontextmanager
    async def within(self, begin: Any) -> AsyncIterator[Work]:
        async with begin() as work:
            yield work
            self.take()
        self.take()


async def main(settings: Settings, user_id: int, last: int) -> None:
    steps = Steps(last)
    container: Any = Container(settings=settings)
    container.begin.override(Object(partial(steps.within, container.begin())))
    steps.watch(settings.data_dir / "files")

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(CONTENT), 100_000):
            yield CONTENT[start : start + 100_000]
            steps.take()

    async def uploads() -> AsyncIterator[Upload]:
        yield Upload("tea.txt", "text/plain", chunks())

    await container.database().open()
    await container.store_files()(Actor(await container.reads().user(user_id), "a session"), uploads())
    await container.database().close()


if __name__ == "__main__":
    asyncio.run(main(Settings(**json.loads(sys.argv[1]), _env_file=None), int(sys.argv[2]), int(sys.argv[3])))
